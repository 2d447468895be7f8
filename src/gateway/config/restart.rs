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

use super::{Config, Trunk};

impl Config {
    /// The fields of a new configuration that take effect with the next start only, as paths of the
    /// file: what [`Gateway::reload`](crate::gateway::Gateway::reload) leaves as it was.
    pub fn waits_for_start(&self, new: &Self) -> Vec<String> {
        let mut fields = Vec::new();
        self.trunks_that_wait(new, &mut fields);
        let hooks_ca = (hooks_ca_file(self), hooks_ca_file(new));
        let (rest, page) = (&self.rest, &self.page);
        for (field, changed) in [
            ("rtmp.listen", self.rtmp_listen != new.rtmp_listen),
            ("rtmp.caFile", self.rtmp_ca_file != new.rtmp_ca_file),
            ("rest.listen", rest.listen != new.rest.listen),
            ("rest.tls", rest.tls != new.rest.tls),
            ("page.listen", page.listen != new.page.listen),
            ("page.tls", page.tls != new.page.tls),
            ("media.ports", self.media.ports != new.media.ports),
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
        let recording = match (&self.recording, &new.recording) {
            (Some(old), Some(new)) => old.needs_start(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        if recording {
            fields.push("recording".to_owned());
        }
        fields
    }

    fn trunks_that_wait(&self, new: &Self, fields: &mut Vec<String>) {
        let place = |trunk: &Trunk| (trunk.name.clone(), trunk.local_port, trunk.transport);
        for trunk in &new.trunks {
            let name = &trunk.name;
            let old = self.trunks.iter().find(|old| place(old) == place(trunk));
            let Some(old) = old else {
                fields.push(format!("trunks.{name}"));
                continue;
            };
            for (key, changed) in [
                ("calls", old.calls != trunk.calls),
                ("caFile", old.ca_file != trunk.ca_file),
                ("certificate", old.certificate != trunk.certificate),
                ("key", old.key != trunk.key),
            ] {
                if changed {
                    fields.push(format!("trunks.{name}.{key}"));
                }
            }
        }
        let stays = |old: &&Trunk| new.trunks.iter().any(|trunk| trunk.name == old.name);
        let gone = self.trunks.iter().filter(|old| !stays(old));
        fields.extend(gone.map(|old| format!("trunks.{}", old.name)));
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
            waits(|config| config.trunks[0].calls = Some(5)),
            ["trunks.default.calls"]
        );
        assert_eq!(
            waits(|config| config.trunks[0].name = "new".to_owned()),
            ["trunks.new", "trunks.default"]
        );
    }
}
