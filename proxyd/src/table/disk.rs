//! The table on disk, by which the proxy serves before tako-server has said anything.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::messages::Table;

/// The file's content: the table, and the boot it was in use.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    boot_id: Option<String>,
    #[serde(flatten)]
    table: Table,
}

impl Kept {
    /// After a reboot no instance runs any more, and another app's may have got its port.
    fn usable(mut self, boot_id: Option<&str>) -> Table {
        if self.boot_id.is_some() && self.boot_id.as_deref() != boot_id {
            for app in &mut self.table.apps {
                app.endpoints.clear();
            }
        }
        self.table
    }
}

fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

pub struct Disk {
    path: PathBuf,
}

impl Disk {
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("table.json"),
        }
    }

    /// The table kept last; none when there is no file or it cannot be read, which is logged.
    #[must_use]
    pub fn load(&self) -> Option<Table> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::error!("{} cannot be read: {error}", self.path.display());
                return None;
            }
        };
        let kept: Kept = serde_json::from_slice(&text)
            .inspect_err(|error| log::error!("{} is not a table: {error}", self.path.display()))
            .ok()?;
        Some(kept.usable(boot_id().as_deref()))
    }

    /// Whether there is no folder to keep a table in.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let folder = self.path.parent();
        folder.is_some_and(|folder| matches!(folder.try_exists(), Ok(false)))
    }

    /// Replaces the file at once. Not flushed to the disk: after a power cut tako-server sends the table anyway.
    pub fn save(&self, table: &Table) -> std::io::Result<()> {
        // A proxy that is being replaced may be writing its last at the same time.
        let beside = self
            .path
            .with_extension(format!("json.{}", std::process::id()));
        // Left over from a crash, maybe with other permissions.
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        let kept = Kept {
            boot_id: boot_id(),
            table: table.clone(),
        };
        file.write_all(&serde_json::to_vec(&kept)?)?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_saved_table_is_loaded_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path());
        assert_eq!(disk.load(), None);
        let table = Table {
            generation: 7,
            ..Table::default()
        };
        disk.save(&table).unwrap();
        assert_eq!(disk.load(), Some(table));
        let mode = fs::metadata(folder.path().join("table.json")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn instances_of_another_boot_are_not_believed_to_run() {
        let text = r#"{"boot_id":"then","generation":3,"apps":[
            {"app":"a/production","endpoints":[{"instance":"i","addr":"127.0.0.1:1"}]}]}"#;
        for (now, endpoints) in [(Some("then"), 1), (Some("now"), 0), (None, 0)] {
            let kept: Kept = serde_json::from_str(text).unwrap();
            let table = kept.usable(now);
            assert_eq!(table.generation, 3);
            assert_eq!(table.apps[0].endpoints.len(), endpoints, "{now:?}");
        }
    }

    #[test]
    fn a_torn_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.json"), "{\"generation\":").unwrap();
        assert_eq!(Disk::new(folder.path()).load(), None);
    }
}
