//! A proxy in front of an app with public files.

use std::fs;
use std::path::{Path, PathBuf};

use tako_proxyd::control::messages::Table;

use super::client::{Client, Reply};
use super::proxy::{HOST, Place, Proxy, active};
use super::upstream::Upstream;

/// 2001-09-09T01:46:40Z
const TIME: u64 = 1_000_000_000;

pub fn write(public: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = public.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(TIME);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
}

pub fn table(place: &Place, upstream: &Upstream, public: &Path) -> Table {
    let mut table = place.table(1, vec![active("one", upstream.addr)]);
    table.apps[0].public_dir = Some(public.to_str().unwrap().to_owned());
    table
}

pub fn public(place: &Place) -> PathBuf {
    let public = place.dir.path().join("public");
    fs::create_dir(&public).unwrap();
    public
}

/// In front of an app that answers `app` to everything, with these public files.
pub fn serve(files: &[(&str, &[u8])]) -> (Proxy, PathBuf, Upstream) {
    let upstream = Upstream::named("app");
    let place = Place::new();
    let public = public(&place);
    for (name, bytes) in files {
        write(&public, name, bytes);
    }
    let table = table(&place, &upstream, &public);
    (place.serve(&table), public, upstream)
}

pub fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Reply {
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n"
    ));
    client.reply()
}

/// Asks for the head alone; the connection is as usable afterwards.
pub fn ask_head(client: &mut Client, path: &str) -> String {
    client.send(format!("HEAD {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    client.head().unwrap()
}

pub fn large() -> Vec<u8> {
    (0..300_000u32).map(|at| (at % 251) as u8).collect()
}
