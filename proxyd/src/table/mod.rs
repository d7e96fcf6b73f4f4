//! What to forward where: an immutable, compiled table, and the counters that live through a change of table.
//!
//! Compiling is pure but for the counters: an endpoint that is in the old and in the new table keeps the same
//! [`EndpointState`], so that what is in flight stays counted.

mod disk;
mod endpoints;
mod limit;
mod policy;
mod ranges;
mod router;
mod services;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use disk::Disk;
pub use endpoints::{Address, EndpointState, InFlight};
pub use limit::Permit;
pub use policy::Policy;
pub use ranges::Ranges;
pub use router::{Router, normal_host};
pub use services::Services;

use crate::control::messages::{self, EndpointPhase, SourceIp};
use crate::files::Folder;
use crate::record::AccessLog;
use endpoints::AppState;

/// One deployment as requests see it.
pub struct App {
    pub name: Arc<str>,
    /// Chosen for new requests, in turn.
    pub active: Box<[Arc<EndpointState>]>,
    pub draining: Box<[Arc<EndpointState>]>,
    pub max_waiters: u64,
    pub wait_timeout_ms: u64,
    /// Requests at its instances at once; 0 is no limit.
    pub max_connections: u32,
    pub source_ip: SourceIp,
    /// Where its records go; none when there are to be none.
    pub access_log: Option<Arc<AccessLog>>,
    /// Where its public files are.
    pub public: Option<Arc<Folder>>,
    pub state: Arc<AppState>,
}

/// What a host and a path lead to.
#[derive(Clone)]
pub struct Route {
    pub app: Arc<App>,
    /// As it was declared.
    pub pattern: Arc<str>,
}

impl App {
    /// The next endpoint in turn, passing over those that refused a connection a moment ago, and over those that left
    /// requests without a response as long as there are others.
    pub fn choose(&self, lane: usize, now_ms: u64) -> Option<&Arc<EndpointState>> {
        let count = self.active.len();
        let first = self.state.turn(lane);
        let mut suspect = None;
        for step in 0..count {
            let endpoint = &self.active[(first + step) % count];
            if endpoint.is_usable(now_ms) {
                if endpoint.is_trusted(now_ms) {
                    return Some(endpoint);
                }
                suspect.get_or_insert(endpoint);
            }
        }
        suspect
    }
}

/// A generation of the table, ready to be used by the workers; by default the empty one before the first.
#[derive(Default)]
pub struct Table {
    pub generation: u64,
    pub policy: Policy,
    pub router: Router<Route>,
    pub apps: HashMap<Arc<str>, Arc<App>>,
    pub services: Option<Services>,
    /// What a certificate authority is answered, by its token.
    pub challenges: HashMap<Box<str>, Arc<str>>,
}

impl Table {
    /// Compiles a table; `before` lends its counters, `lanes` is the number of workers.
    pub fn compile(wanted: &messages::Table, before: &Self, lanes: usize) -> Result<Self, String> {
        let mut apps = HashMap::with_capacity(wanted.apps.len());
        for app in &wanted.apps {
            let compiled = compile_app(app, before, lanes)?;
            if apps.insert(compiled.name.clone(), compiled).is_some() {
                return Err(format!("app {:?} is listed twice", app.app));
            }
        }
        let mut router = Router::default();
        for route in &wanted.routes {
            let app = apps
                .get(route.app.as_str())
                .ok_or_else(|| format!("route {:?} names no app of the table", route.pattern))?;
            let target = Route {
                app: app.clone(),
                pattern: route.pattern.as_str().into(),
            };
            router.add(&route.host, route.path.as_deref(), target)?;
        }
        let policy = Policy::compile(&wanted.policies)?;
        let services = wanted.policies.services.as_ref();
        let services = services
            .map(|wanted| Services::compile(wanted, before.services.as_ref(), lanes))
            .transpose()?;
        let challenges = wanted.challenges.iter().map(|challenge| {
            let answer = challenge.key_authorization.as_str();
            (challenge.token.as_str().into(), answer.into())
        });
        // From here on nothing fails: a table that is not used must not change what is.
        for app in apps.values() {
            app.state.limit.set(app.max_connections);
        }
        Ok(Self {
            generation: wanted.generation,
            policy,
            router,
            apps,
            services,
            challenges: challenges.collect(),
        })
    }
}

fn compile_app(
    wanted: &messages::TableApp,
    before: &Table,
    lanes: usize,
) -> Result<Arc<App>, String> {
    let old = before.apps.get(wanted.app.as_str());
    let name: Arc<str> = old.map_or_else(|| wanted.app.as_str().into(), |app| app.name.clone());
    let (mut active, mut draining) = (Vec::new(), Vec::new());
    for endpoint in &wanted.endpoints {
        let addr: SocketAddr = endpoint.addr.parse().map_err(|_| {
            format!(
                "{}: endpoint {:?} has the unusable address {:?}",
                wanted.app, endpoint.instance, endpoint.addr
            )
        })?;
        let addr = Address::Tcp(addr);
        let state = old
            .and_then(|app| find_state(app, &endpoint.instance, &addr))
            .unwrap_or_else(|| EndpointState::new(name.clone(), &endpoint.instance, addr, lanes));
        state.set_draining(endpoint.state == EndpointPhase::Draining);
        match endpoint.state {
            EndpointPhase::Active => active.push(state),
            EndpointPhase::Draining => draining.push(state),
        }
    }
    Ok(Arc::new(App {
        active: active.into(),
        draining: draining.into(),
        max_waiters: u64::from(wanted.max_waiters),
        wait_timeout_ms: wanted.wait_timeout_ms,
        max_connections: wanted.max_connections,
        source_ip: wanted.source_ip,
        access_log: access_log(wanted, old, &name),
        public: public_folder(wanted, old),
        state: old.map_or_else(|| Arc::new(AppState::new(lanes)), |app| app.state.clone()),
        name,
    }))
}

/// The same as before while the file is: what was lost is told of in it.
fn access_log(
    wanted: &messages::TableApp,
    old: Option<&Arc<App>>,
    app: &Arc<str>,
) -> Option<Arc<AccessLog>> {
    let path = wanted.access_log.as_deref()?;
    let kept = old.and_then(|old| old.access_log.as_ref());
    let same = kept.filter(|log| log.path().as_os_str() == path);
    Some(same.map_or_else(|| AccessLog::new(app.clone(), path), Arc::clone))
}

/// The same as before while its path is: it is open already.
fn public_folder(wanted: &messages::TableApp, old: Option<&Arc<App>>) -> Option<Arc<Folder>> {
    let path = wanted.public_dir.as_deref()?;
    let kept = old.and_then(|app| app.public.as_ref());
    let same = kept.filter(|folder| folder.path().as_os_str() == path);
    Some(same.map_or_else(|| Folder::new(path), Arc::clone))
}

fn find_state(app: &App, instance: &str, addr: &Address) -> Option<Arc<EndpointState>> {
    app.active
        .iter()
        .chain(app.draining.iter())
        .find(|state| &*state.instance == instance && state.addr == *addr)
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::messages::{Endpoint, TableApp, TableRoute};

    fn endpoint(instance: &str, port: u16, state: EndpointPhase) -> Endpoint {
        Endpoint {
            instance: instance.to_owned(),
            addr: format!("127.0.0.1:{port}"),
            state,
        }
    }

    fn table(endpoints: Vec<Endpoint>) -> messages::Table {
        messages::Table {
            generation: 1,
            apps: vec![TableApp {
                app: "a/production".to_owned(),
                endpoints,
                max_waiters: 10,
                wait_timeout_ms: 10,
                source_ip: SourceIp::Auto,
                public_dir: None,
                max_connections: 0,
                access_log: None,
            }],
            routes: vec![TableRoute {
                host: "a.test".to_owned(),
                path: None,
                app: "a/production".to_owned(),
                pattern: "a.test".to_owned(),
            }],
            ..messages::Table::default()
        }
    }

    #[test]
    fn an_endpoint_keeps_its_counters_when_it_begins_to_drain() {
        let active = table(vec![endpoint("one", 1, EndpointPhase::Active)]);
        let first = Table::compile(&active, &Table::default(), 2).unwrap();
        let held = InFlight::begin(&first.apps["a/production"].active[0], 0);
        let draining = table(vec![endpoint("one", 1, EndpointPhase::Draining)]);
        let second = Table::compile(&draining, &first, 2).unwrap();
        let app = &second.apps["a/production"];
        assert_eq!(app.draining[0].in_flight(), 1);
        drop(held);
        assert_eq!(app.draining[0].in_flight(), 0);
    }

    #[test]
    fn active_endpoints_are_chosen_in_turn_and_draining_ones_never() {
        let wanted = table(vec![
            endpoint("one", 1, EndpointPhase::Active),
            endpoint("two", 2, EndpointPhase::Draining),
            endpoint("three", 3, EndpointPhase::Active),
        ]);
        let table = Table::compile(&wanted, &Table::default(), 1).unwrap();
        let app = &table.apps["a/production"];
        let chosen: Vec<_> = (0..4)
            .map(|_| app.choose(0, 0).unwrap().instance.to_string())
            .collect();
        assert_eq!(chosen, ["one", "three", "one", "three"]);
    }

    #[test]
    fn an_endpoint_that_refused_is_passed_over_for_a_moment() {
        let wanted = table(vec![
            endpoint("one", 1, EndpointPhase::Active),
            endpoint("two", 2, EndpointPhase::Active),
        ]);
        let table = Table::compile(&wanted, &Table::default(), 1).unwrap();
        let app = &table.apps["a/production"];
        app.active[0].mark_refused(100);
        for _ in 0..3 {
            assert_eq!(&*app.choose(0, 200).unwrap().instance, "two");
        }
        app.active[1].mark_refused(100);
        assert!(app.choose(0, 200).is_none());
        assert!(app.choose(0, 5000).is_some());
    }

    #[test]
    fn an_endpoint_that_does_not_answer_is_passed_over_while_there_are_others() {
        let wanted = table(vec![
            endpoint("one", 1, EndpointPhase::Active),
            endpoint("two", 2, EndpointPhase::Active),
        ]);
        let table = Table::compile(&wanted, &Table::default(), 1).unwrap();
        let app = &table.apps["a/production"];
        let chosen = |now_ms| -> Vec<_> {
            let twice = (0..2).map(|_| app.choose(0, now_ms).unwrap().instance.to_string());
            twice.collect()
        };
        app.active[0].mark_failed(100);
        app.active[0].mark_failed(100);
        app.active[0].mark_well();
        app.active[0].mark_failed(100);
        app.active[0].mark_failed(100);
        assert_eq!(chosen(200), ["one", "two"], "not three in a row");
        app.active[0].mark_failed(100);
        assert_eq!(chosen(200), ["two", "two"]);
        assert_eq!(chosen(20_000), ["one", "two"], "tried again");
        app.active[0].mark_failed(20_000);
        assert_eq!(chosen(20_001), ["two", "two"], "and found wanting");
        app.active[1].mark_refused(20_000);
        assert_eq!(chosen(20_001), ["one", "one"], "better than none");
        for _ in 0..3 {
            app.active[1].mark_failed(20_000);
        }
        assert_eq!(chosen(21_000), ["one", "two"], "all are suspect");
        app.active[0].mark_well();
        assert_eq!(chosen(21_000), ["one", "one"]);
    }

    #[test]
    fn a_table_that_cannot_be_used_says_why() {
        let mut bad_address = table(vec![endpoint("one", 1, EndpointPhase::Active)]);
        bad_address.apps[0].endpoints[0].addr = "nowhere".to_owned();
        let mut lost_route = table(vec![]);
        lost_route.routes[0].app = "b/production".to_owned();
        for (wanted, reason) in [
            (bad_address, "unusable address"),
            (lost_route, "names no app"),
        ] {
            let error = Table::compile(&wanted, &Table::default(), 1).err().unwrap();
            assert!(error.contains(reason), "{error}");
        }
    }
}
