//! What holds where the file says nothing, and the file that there would be without one.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::document::{Doc, TRUNKS};
use crate::base::codec::Codec;
use crate::base::network::Network;
use crate::gateway::config::{
    AbuseLimits, Config, Hooks, Page, Recording, SessionTimer, StreamName, Trunk, codec_name,
};

/// Where the defaults of any trunk stand.
const TRUNK: &str = "trunk";

/// The embedded defaults, as a file would say them.
pub fn embedded() -> Doc {
    let trunks = Config::default().trunks;
    let trunk = |trunk: &Trunk| {
        let port = ("localPort", Doc::text(trunk.local_port));
        let allow = ("allow", list(&trunk.allow));
        (trunk.name.clone(), map([port, allow]))
    };
    map([(TRUNKS, Doc::Map(trunks.iter().map(trunk).collect()))])
}

/// What holds where a file says nothing, with the keys of the file; of any trunk below `trunk`.
pub fn defaults() -> Doc {
    let config = Config::default();
    let text = |key, value: &dyn core::fmt::Display| (key, Doc::text(value));
    let (rest, media, limits) = (&config.rest, &config.media, &config.limits);
    let recording = Recording::new("");
    let page = Page::default();
    let page_listen = page.listen.unwrap_or(Page::LISTEN);
    map([
        (TRUNK, any_trunk()),
        ("rtmp", map([text("listen", &config.rtmp_listen)])),
        ("rest", map([text("listen", &rest.listen)])),
        (
            "page",
            map([text("listen", &page_listen), ("allow", list(&page.allow))]),
        ),
        (
            "media",
            map([text("address", &media.address), text("ports", &media.ports)]),
        ),
        (
            "hooks",
            map([
                text("timeoutSeconds", &Hooks::TIMEOUT_SECONDS),
                text("retrySeconds", &Hooks::RETRY_SECONDS),
                text("appKey", &Hooks::APP_KEY),
                text("connections", &Hooks::CONNECTIONS),
                text("onCall", &"notify"),
                text("onError", &"LOG"),
            ]),
        ),
        (
            "limits",
            map([
                text("calls", &limits.calls),
                text("memoryMiB", &limits.memory_mib),
            ]),
        ),
        (
            "state",
            map([text("directory", &crate::cli::STATE_DIRECTORY)]),
        ),
        (
            "recording",
            map([
                text("minFreeMiB", &recording.min_free_mib),
                text("whenFull", &"oldest"),
                text("template", &recording.template),
                text("all", &recording.all),
            ]),
        ),
    ])
}

fn any_trunk() -> Doc {
    let text = |key, value: &dyn core::fmt::Display| (key, Doc::text(value));
    let (timer, abuse) = (SessionTimer::default(), AbuseLimits::default());
    let trunk = Trunk::new("", 0);
    let codecs = Codec::ALL.map(|codec| Doc::text(codec_name(codec)));
    map([
        text("transport", &"udp"),
        text("remotePort", &trunk.usual_port()),
        text("streamName", &StreamName::default()),
        ("codecs", Doc::List(codecs.to_vec())),
        text("srtp", &trunk.srtp),
        text("ping", &Trunk::PING.as_secs()),
        text("mediaTimeout", &Trunk::MEDIA_TIMEOUT.as_secs()),
        text("dtmf", &"rfc2833"),
        text("record", &false),
        ("register", map([text("expires", &600)])),
        (
            "sessionTimer",
            map([text("expires", &timer.expires), text("min", &timer.min)]),
        ),
        (
            "abuse",
            map([
                text("perSource", &abuse.per_source),
                text("total", &abuse.total),
            ]),
        ),
    ])
}

fn list(networks: &[Network]) -> Doc {
    Doc::List(networks.iter().map(Doc::text).collect())
}

fn map<const N: usize>(entries: [(&str, Doc); N]) -> Doc {
    let entries = entries.into_iter();
    Doc::Map(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config_file::load;
    use crate::cli::settings::print;

    #[test]
    fn the_embedded_defaults_as_a_file_are_the_embedded_defaults() {
        let config = load(&print::file(&embedded()), "f").unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn every_default_said_is_the_default() {
        let mut doc = defaults();
        let mut trunk = any_trunk();
        for (key, value) in embedded()
            .get(TRUNKS)
            .unwrap()
            .get("default")
            .unwrap()
            .entries()
        {
            trunk.put(key, Some(value.clone()));
        }
        // These would bring something in, or stand for what a PBX would have.
        for key in ["ping", "remotePort", "register", "record", "codecs"] {
            trunk.put(key, None);
        }
        doc.put(TRUNK, None);
        doc.put(TRUNKS, Some(map([("default", trunk)])));
        for key in ["hooks", "recording", "state"] {
            doc.put(key, None);
        }
        let config = load(&print::file(&doc), "f").unwrap();
        assert_eq!(config, Config::default());
        let mut hooks = defaults().get("hooks").unwrap().clone();
        hooks.put("url", Some(Doc::text("http://b/")));
        let mut recording = defaults().get("recording").unwrap().clone();
        recording.put("directory", Some(Doc::text("/r")));
        doc.put("hooks", Some(hooks));
        doc.put("limits", Some(map([("memoryMiB", Doc::text(256))])));
        doc.put("recording", Some(recording));
        let config = load(&print::file(&doc), "f").unwrap();
        assert_eq!(config.hooks, Some(Hooks::new("http://b/".parse().unwrap())));
        assert_eq!(config.recording, Some(Recording::new("/r")));
    }
}
