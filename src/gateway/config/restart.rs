//! What of another configuration waits for the next start.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::Config;

impl Config {
    /// The fields of a new configuration that take effect with the next start only, as paths of the
    /// file: what [`Gateway::reload`](crate::gateway::Gateway::reload) leaves as it was.
    pub fn waits_for_start(&self, new: &Self) -> Vec<String> {
        let mut fields = Vec::new();
        let hooks_ca = (hooks_ca_file(self), hooks_ca_file(new));
        for (field, changed) in [
            ("rtmp.caFile", self.rtmp_ca_file != new.rtmp_ca_file),
            ("hooks.caFile", hooks_ca.0 != hooks_ca.1),
            ("limits.calls", self.limits.calls != new.limits.calls),
            (
                "limits.memoryMiB",
                self.limits.memory_mib != new.limits.memory_mib,
            ),
            (
                "files.directory",
                self.files_directory != new.files_directory,
            ),
            (
                "state.directory",
                self.state_directory != new.state_directory,
            ),
        ] {
            if changed {
                fields.push(field.to_owned());
            }
        }
        if !self.records_as(new) {
            fields.push("recording".to_owned());
        }
        fields
    }

    /// Whether recordings go where they went: another folder waits for the next start.
    pub fn records_as(&self, new: &Self) -> bool {
        match (&self.recording, &new.recording) {
            (Some(old), Some(new)) => !old.needs_start(new),
            (old, new) => old.is_some() == new.is_some(),
        }
    }
}

fn hooks_ca_file(config: &Config) -> Option<&String> {
    config.hooks.as_ref()?.ca_file.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let old = Config::default();
        let mut new = old.clone();
        change(&mut new);
        old.waits_for_start(&new)
    }

    #[test]
    fn only_what_is_not_taken_over_waits() {
        assert_eq!(waits(|_| {}), [""; 0]);
        assert_eq!(
            waits(|config| config.trunks[0].visible_name = Some("x".to_owned())),
            [""; 0]
        );
        assert_eq!(waits(|config| config.limits.calls = 5), ["limits.calls"]);
        assert_eq!(
            waits(|config| config.trunks[0].local_port = 40_002),
            [""; 0]
        );
        assert_eq!(
            waits(|config| config.files_directory = Some("/srv/files".to_owned())),
            ["files.directory"]
        );
    }
}
