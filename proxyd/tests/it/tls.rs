use crate::support::client::Client;
use crate::support::proxy::{HOST, Place, active, certificate};
use crate::support::server::Server;
use crate::support::upstream::Upstream;

#[test]
fn the_name_decides_which_certificate_is_shown() {
    let place = Place::new();
    let upstream = Upstream::named("one");
    let (exact, exact_der) = certificate(place.dir.path(), "exact", &["c.test"]);
    let (wild, wild_der) = certificate(place.dir.path(), "wild", &["*.c.test"]);
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.certificates = vec![exact, wild];
    let default_der = place.trusted[0].clone();
    let proxy = place.serve(&table);
    for (name, shown) in [
        ("c.test", &exact_der),
        ("x.c.test", &wild_der),
        (HOST, &default_der),
    ] {
        let client = Client::tls(proxy.https, name, std::slice::from_ref(shown));
        assert_eq!(client.certificate(), *shown, "{name}");
    }
}

#[test]
fn an_unknown_name_completes_with_the_default_and_is_not_found() {
    let place = Place::new();
    let table = place.table(1, vec![]);
    let proxy = place.serve(&table);
    let mut client = Client::tls(proxy.https, "b.test", &proxy.place.trusted);
    assert_eq!(client.get("b.test", "/").status, 404);
}

#[test]
fn both_versions_of_tls_are_spoken() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::try_tls(proxy.https, HOST, &proxy.place.trusted, &[version]);
        assert_eq!(client.unwrap().get(HOST, "/").text(), "one");
    }
}

#[test]
fn a_new_certificate_is_used_at_once_and_no_connection_is_touched() {
    let upstream = Upstream::named("one");
    let place = Place::new();
    let server = Server::bind(&place.control());
    let table = place.table(1, vec![active("one", upstream.addr)]);
    let proxy = place.serve(&table);
    let (mut session, _) = server.accept();
    session.welcome(&[]);
    let mut old = proxy.client();
    assert_eq!(old.get(HOST, "/").status, 200);
    let (renewed, renewed_der) = certificate(proxy.place.dir.path(), "default", &[HOST]);
    let mut table = table;
    table.generation = 2;
    table.default_certificate = Some(renewed);
    session.push(table);
    assert_eq!(old.get(HOST, "/").status, 200);
    let new = Client::tls(proxy.https, HOST, std::slice::from_ref(&renewed_der));
    assert_eq!(new.certificate(), renewed_der);
}
