//! `tako-proxyd`: reads its arguments, starts the workers with the table on disk, and hands over to the control part.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tako_proxyd::args::{self, Args, Asked};
use tako_proxyd::control::{Control, Workers, address};
use tako_proxyd::listen::{self, Listener};
use tako_proxyd::logging;
use tako_proxyd::record::Writer;
use tako_proxyd::table::{Disk, Table};
use tako_proxyd::tls::{Certificates, server_config};
use tako_proxyd::worker::Shared;
use tako_proxyd::worker::clients::Clients;
use tokio::sync::mpsc;

/// A disk that hangs does not keep the proxy from ending.
const RECORDS_WAIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Asked::Version) => println!("tako-proxyd {}", env!("CARGO_PKG_VERSION")),
        Ok(Asked::Help) => println!("{}", args::USAGE),
        Ok(Asked::Run(args)) => {
            logging::start(args.log_level);
            if let Err(error) = run(args) {
                log::error!("{error}");
                return ExitCode::FAILURE;
            }
        }
        Err(error) => {
            eprintln!("tako-proxyd: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn run(args: Args) -> Result<(), String> {
    raise_file_limit();
    let certificates = Certificates::new();
    let config = server_config(certificates.clone()).map_err(|error| error.to_string())?;
    let disk = Disk::new(&args.state_dir);
    let wanted = disk.load().unwrap_or_default();
    let table = Table::compile(&wanted, &Table::default(), args.threads);
    let (wanted, table) = match table {
        Ok(table) => (wanted, Arc::new(table)),
        Err(error) => {
            log::error!("the table on disk is not used: {error}");
            Default::default()
        }
    };
    certificates.install(&wanted);

    let (events, receiver) = mpsc::unbounded_channel();
    let writer = Writer::start().map_err(|error| error.to_string())?;
    let shared = Arc::new(Shared {
        records: writer.queue(),
        clients: Clients::default(),
        connections: AtomicU64::new(0),
        events,
    });
    let workers = Workers::start(args.threads, &shared, &table, &config.into())
        .map_err(|error| error.to_string())?;
    let listeners = open_listeners(&args)?;
    let control = Control::new(
        args.control,
        disk,
        workers,
        shared,
        certificates,
        wanted,
        table,
    );
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(control.run(listeners, receiver)))
        .map_err(|error| error.to_string());
    writer.finish(RECORDS_WAIT);
    ended
}

/// Opens what `--bind-*` asks for, and prints where, for who gave port 0.
fn open_listeners(args: &Args) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for (scheme, addr) in [("http", args.bind_http), ("https", args.bind_https)] {
        if let Some(addr) = addr {
            let opened = listen::open(scheme, addr, args.threads)?;
            println!("listening {scheme} {}", address(&opened[0].socket));
            listeners.extend(opened);
        }
    }
    Ok(listeners)
}

/// A proxy needs two descriptors for each request; the soft limit is usually 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}
