//! Where records go when all is not well.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::proxy::{HOST, route};
use crate::support::records::{lines, moody, parse, with_record};

#[test]
fn a_kill_loses_at_most_what_came_since_the_last_tick() {
    let (mut proxy, path) = with_record(&moody(), |_| {});
    let mut client = proxy.client();
    for _ in 0..10 {
        client.get(HOST, "/before");
    }
    eventually("a tick has come", || lines(&path).len() == 10);
    client.get(HOST, "/after");
    proxy.process.signal(Signal::KILL);
    proxy.process.exit();
    let kept = lines(&path);
    assert!(kept.len() >= 10, "{kept:?}");
    for line in kept {
        parse(&line);
    }
}

#[test]
fn a_file_that_was_taken_away_is_made_again() {
    let (proxy, path) = with_record(&moody(), |_| {});
    let mut client = proxy.client();
    client.get(HOST, "/one");
    eventually("the first is recorded", || lines(&path).len() == 1);
    std::fs::remove_file(&path).unwrap();
    client.get(HOST, "/two");
    eventually("the second is recorded", || lines(&path).len() == 1);
    assert_eq!(parse(&lines(&path)[0])["path"], "/two");
}

#[test]
fn an_app_without_a_directory_is_served_all_the_same_and_told_of_the_loss_later() {
    let (proxy, path) = with_record(&moody(), |table| {
        let path = table.apps[0].access_log.as_mut().unwrap();
        *path = path.replace("proxy.access", "spool/proxy.access");
    });
    let folder = path.with_file_name("spool");
    let path = folder.join("proxy.access");
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get(HOST, "/lost").status, 200);
    }
    let mut written = Vec::new();
    std::fs::create_dir(&folder).unwrap();
    eventually("something is written again", || {
        assert_eq!(client.get(HOST, "/kept").status, 200);
        written = lines(&path);
        !written.is_empty()
    });
    // All but what a tick between the two may have kept.
    assert!(
        written[0].contains(" WARN Access records were dropped lines=")
            || parse(&written[0])["path"] == "/lost",
        "{written:?}"
    );
}

/// A file system of 64 KiB, until dropped; none where that may not be made.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    fn mount(path: &'p Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let kind = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let mounted = Command::new("mount").args(kind).arg(path).output();
        mounted
            .is_ok_and(|made| made.status.success())
            .then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_drops_whole_lines_and_how_many_is_told_when_there_is_room() {
    let (mut proxy, path) = with_record(&moody(), |table| {
        let mut other = table.apps[0].clone();
        other.app = "b/production".to_owned();
        table.apps.push(other);
        table.routes.push(route("a.test/other", "b/production"));
        let path = table.apps[0].access_log.as_mut().unwrap();
        *path = path.replace("proxy.access", "disk/proxy.access");
    });
    let other = path.clone();
    let folder = path.with_file_name("disk");
    let path = folder.join("proxy.access");
    let Some(_disk) = SmallDisk::mount(&folder) else {
        return; // only root may
    };
    let filler = folder.join("filler");
    std::fs::write(&filler, vec![7; 40 * 1024]).unwrap();
    let mut client = proxy.client();
    let long = "x".repeat(3000);
    for _ in 0..100 {
        assert_eq!(client.get(HOST, &format!("/{long}")).status, 200);
    }
    // The records of an app with room come after all that was handed to the writer a tick before.
    for number in 1..=2 {
        assert_eq!(client.get(HOST, "/other").status, 200);
        eventually("the other app's is written", || {
            lines(&other).len() == number
        });
    }
    std::fs::remove_file(filler).unwrap();
    client.get(HOST, "/room");
    proxy.process.terminate();
    assert!(proxy.process.exit().success());
    let (mut kept, mut dropped) = (0, 0);
    for line in lines(&path) {
        let notice = " [server] [proxy] WARN Access records were dropped lines=";
        if let Some((_, count)) = line.split_once(notice) {
            dropped += count.parse::<usize>().unwrap();
        } else {
            parse(&line);
            kept += 1;
        }
    }
    assert!(dropped > 0);
    assert_eq!(kept + dropped, 101);
}
