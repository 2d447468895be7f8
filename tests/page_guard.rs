//! Who may see the page and change something, against the gateway on its virtual clock.

mod gateway_support;
mod page_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::{World, config};
use page_support::{Browser, document, work, work_once};
use serde_json::json;
use trunkcast::base::redact::Secret;
use trunkcast::gateway::config::Config;
use trunkcast::gateway::desk::{DeskAnswer, DeskWork};
use trunkcast::limits::{
    DESK_QUEUE, HTTP_BODY_BYTES, HTTP_CONNECTIONS, HTTP_LOGIN_TRIES, PAGE_CONNECTIONS,
    PAGE_CONNECTIONS_AN_ADDRESS, PAGE_DOCUMENT_BYTES, PAGE_DOCUMENTS, PAGE_LOGINS, PAGE_SESSIONS,
};

const PASSWORD: &str = "correct horse";

fn world_of(change: impl FnOnce(&mut Config)) -> World {
    let mut config = config(2, None);
    change(&mut config);
    World::new(config)
}

/// A box whose password is set.
fn world() -> World {
    world_of(|config| {
        let hash = format!("$argon2id${PASSWORD}");
        config.page.password_hash = Some(Secret::new(hash));
    })
}

fn signed_in(world: &mut World) -> Browser {
    let mut browser = Browser::default();
    let reply = browser.post(world, "/page/login", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 200, "{}", reply.head);
    browser
}

fn problem(reply: &rest_support::Reply) -> String {
    reply.json()["problem"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_visitor_sets_the_password_and_is_in() {
    let mut world = world_of(|_| {});
    let mut browser = Browser::default();
    let session = browser.get(&mut world, "/page/session").json();
    assert_eq!(session["state"], "new");
    assert_eq!(session["host"], "192.0.2.1");
    assert_eq!(browser.get(&mut world, "/page/now").status, 401);

    for (password, code) in [
        ("1234567".to_owned(), "passwordTooShort"),
        ("x".repeat(129), "passwordTooLong"),
    ] {
        let reply = browser.post(
            &mut world,
            "/page/password",
            &json!({ "password": password }),
        );
        assert_eq!((reply.status, problem(&reply).as_str()), (422, code));
    }
    let reply = browser.post(
        &mut world,
        "/page/password",
        &json!({ "password": PASSWORD }),
    );
    assert_eq!(reply.status, 200, "{}", reply.head);
    let cookie = reply.header("Set-Cookie").unwrap();
    assert!(cookie.starts_with("trunkcast="), "{cookie}");
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let session = browser.get(&mut world, "/page/session").json();
    assert_eq!(session["state"], "signedIn");

    let mut second = Browser::at("192.168.1.8");
    let reply = second.post(
        &mut world,
        "/page/password",
        &json!({ "password": "another one" }),
    );
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (409, "passwordIsSet")
    );
    assert_eq!(
        second.get(&mut world, "/page/session").json()["state"],
        "signedOut"
    );
}

#[test]
fn of_two_first_visitors_at_once_one_wins() {
    let mut world = world_of(|_| {});
    let (mut one, mut other) = (Browser::at("192.168.1.8"), Browser::at("192.168.1.9"));
    let body = |password: &str| json!({ "password": password }).to_string();
    let first = one.begin(&mut world, "POST", "/page/password", &body("mine alone"));
    let second = other.begin(
        &mut world,
        "POST",
        "/page/password",
        &body("no, it is mine"),
    );
    let refused = other.end(&mut world, second).expect("an answer at once");
    assert_eq!(
        (refused.status, problem(&refused).as_str()),
        (409, "passwordIsSet")
    );
    work(&mut world);
    assert_eq!(one.end(&mut world, first).unwrap().status, 200);
    let reply = other.post(
        &mut world,
        "/page/login",
        &json!({ "password": "mine alone" }),
    );
    assert_eq!(reply.status, 200);
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_password_to_be_set() {
    let mut world = world_of(|_| {});
    let mut browser = Browser::default();
    let body = json!({ "password": PASSWORD });
    let conn = browser.begin(&mut world, "POST", "/page/password", &body.to_string());
    assert!(work_once(&mut world), "the hash");
    let (id, work) = world.outlet.desk.pop_front().unwrap();
    assert_eq!(work.name(), "set password");
    let refusal = document(500, r#"{"problem":"notWritable","detail":"read-only"}"#);
    let now = world.now;
    world
        .gateway
        .handle_desk(now, id, refusal, &mut world.outlet);
    world.settle();
    let reply = browser.end(&mut world, conn).unwrap();
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (500, "notWritable")
    );
    assert_eq!(browser.cookie, None);
    assert_eq!(
        browser.post(&mut world, "/page/password", &body).status,
        200
    );
}

#[test]
fn a_desk_that_is_busy_or_silent_blocks_no_further_visitor() {
    let mut world = world_of(|_| {});
    let mut browser = Browser::default();
    let body = json!({ "password": PASSWORD });
    world.outlet.busy_desk = true;
    let reply = browser.post(&mut world, "/page/password", &body);
    assert_eq!((reply.status, problem(&reply).as_str()), (503, "busy"));
    world.outlet.busy_desk = false;
    let conn = browser.begin(&mut world, "POST", "/page/password", &body.to_string());
    world.advance(Duration::from_secs(61));
    let reply = browser.end(&mut world, conn).expect("an answer in the end");
    assert_eq!((reply.status, problem(&reply).as_str()), (504, "tooSlow"));
    world.outlet.desk.clear();
    assert_eq!(
        browser.post(&mut world, "/page/password", &body).status,
        200
    );
}

#[test]
fn a_name_of_the_world_sets_no_first_password() {
    let mut world = world_of(|_| {});
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("192.0.2.1.evil.example:8080", 403),
        ("trunkcast.local:8080", 200),
    ] {
        let mut browser = Browser {
            host: host.to_owned(),
            ..Browser::default()
        };
        // As a page there would send it: to its own origin.
        browser.post_fields += &format!("Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n");
        let reply = browser.post(
            &mut world,
            "/page/password",
            &json!({ "password": PASSWORD }),
        );
        assert_eq!(reply.status, status, "{host}");
        if status == 403 {
            assert_eq!(problem(&reply), "hostNotLocal");
        }
    }
    assert_eq!(world.gateway.page_counters().strange_hosts, 3);
}

#[test]
fn a_wrong_password_is_refused_and_many_of_them_lock_the_address() {
    let mut world = world();
    let mut browser = Browser::default();
    for _ in 0..HTTP_LOGIN_TRIES {
        let reply = browser.post(&mut world, "/page/login", &json!({ "password": "guess" }));
        assert_eq!(
            (reply.status, problem(&reply).as_str()),
            (401, "wrongPassword")
        );
        assert_eq!(reply.header("Set-Cookie"), None);
    }
    let reply = browser.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (429, "tooManyTries")
    );
    let seconds = reply.json()["seconds"].as_u64().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert_eq!(
        reply.header("Retry-After"),
        Some(seconds.to_string().as_str())
    );
    let mut other = Browser::at("192.168.1.8");
    let reply = other.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 200, "another address is not locked");
    world.advance(Duration::from_secs(seconds + 1));
    let reply = browser.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 200);
    let counters = world.gateway.page_counters();
    assert_eq!(counters.logins_failed, u64::from(HTTP_LOGIN_TRIES));
    assert_eq!((counters.logins_locked, counters.logins), (1, 2));
    let warned = world.outlet.notes.iter();
    let warned = warned.filter(|(_, line)| line.contains("too many wrong passwords"));
    assert_eq!(warned.count(), 1);
}

#[test]
fn no_more_than_a_few_passwords_are_compared_at_once() {
    let mut world = world();
    let body = json!({ "password": "guess" }).to_string();
    for at in 0..2 * PAGE_LOGINS {
        let mut browser = Browser::at(&format!("192.168.2.{at}"));
        let conn = browser.begin(&mut world, "POST", "/page/login", &body);
        let reply = browser.end(&mut world, conn);
        let status = reply.map(|reply| reply.status);
        let expected = (at >= PAGE_LOGINS).then_some(503);
        assert_eq!(status, expected, "{at}");
    }
    assert_eq!(world.outlet.desk.len(), PAGE_LOGINS as usize);
    // Whoever asked is gone; the places are free all the same.
    work(&mut world);
    signed_in(&mut world);
    assert!(PAGE_LOGINS as usize <= DESK_QUEUE, "settings find a place");
}

#[test]
fn nothing_but_the_way_in_is_for_strangers() {
    let mut world = world();
    let mut stranger = Browser {
        cookie: Some(format!("trunkcast={}", "a".repeat(64))),
        ..Browser::default()
    };
    for path in [
        "/page/now",
        "/page/live?call=1",
        "/page/settings",
        "/page/diagnostics",
    ] {
        let reply = stranger.get(&mut world, path);
        assert_eq!(
            (reply.status, problem(&reply).as_str()),
            (401, "signedOut"),
            "{path}"
        );
    }
    for path in [
        "/page/hangup",
        "/page/settings/check",
        "/page/settings/save",
        "/page/backup",
        "/page/restore",
        "/page/try/pbx",
        "/page/try/rtmp",
        "/page/restart",
        "/page/password/change",
    ] {
        let reply = stranger.post(&mut world, path, &json!({}));
        assert_eq!(
            (reply.status, problem(&reply).as_str()),
            (401, "signedOut"),
            "{path}"
        );
    }
    for path in [
        "/",
        "/page.css",
        "/page.js",
        "/words.js",
        "/live.js",
        "/icon.svg",
        "/healthz",
    ] {
        assert_eq!(stranger.get(&mut world, path).status, 200, "{path}");
    }
    for path in [
        "/rest-api/call/find_all",
        "/metrics",
        "/page",
        "/..",
        "/page/now/",
        "/index.html",
    ] {
        assert_eq!(stranger.get(&mut world, path).status, 404, "{path}");
    }
    assert!(world.outlet.desk.is_empty());
}

#[test]
fn a_session_ends_with_signing_out() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    let stolen = browser.clone();
    assert_eq!(browser.get(&mut world, "/page/settings").status, 200);
    let reply = browser.post(&mut world, "/page/logout", &json!({}));
    assert_eq!(reply.status, 200);
    assert!(reply.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(browser.cookie, None);
    let mut stolen = stolen;
    assert_eq!(stolen.get(&mut world, "/page/settings").status, 401);
}

#[test]
fn a_session_ends_unused() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    world.advance(Duration::from_secs(11 * 3_600));
    assert_eq!(browser.get(&mut world, "/page/settings").status, 200);
    world.advance(Duration::from_secs(13 * 3_600));
    assert_eq!(browser.get(&mut world, "/page/settings").status, 401);
}

#[test]
fn another_password_ends_the_sessions_of_others() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    let mut other = signed_in(&mut world);
    let change = |old: &str, new: &str| json!({ "old": old, "new": new });
    let reply = browser.post(
        &mut world,
        "/page/password/change",
        &change("guess", "new password"),
    );
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (401, "wrongPassword")
    );
    let reply = browser.post(
        &mut world,
        "/page/password/change",
        &change(PASSWORD, "new"),
    );
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (422, "passwordTooShort")
    );
    assert_eq!(other.get(&mut world, "/page/settings").status, 200);

    let change = change(PASSWORD, "new password");
    assert_eq!(
        browser
            .post(&mut world, "/page/password/change", &change)
            .status,
        200
    );
    assert_eq!(browser.get(&mut world, "/page/settings").status, 200);
    assert_eq!(other.get(&mut world, "/page/settings").status, 401);
    let old = other.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    assert_eq!(old.status, 401);
    let new = other.post(
        &mut world,
        "/page/login",
        &json!({ "password": "new password" }),
    );
    assert_eq!(new.status, 200);
}

#[test]
fn a_password_that_was_forgotten_lets_nobody_stay_and_the_next_visitor_set_one() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    let mut forgotten = world.gateway.config().clone();
    forgotten.page.password_hash = None;
    world.gateway.reload(forgotten).unwrap();
    assert_eq!(browser.get(&mut world, "/page/settings").status, 401);
    let session = browser.get(&mut world, "/page/session").json();
    assert_eq!(session["state"], "new");
    let old = browser.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    assert_ne!(old.status, 200);
}

#[test]
fn a_session_outlives_a_clock_that_is_set_by_half_a_century() {
    let mut world = world();
    let now = world.now;
    world.gateway.set_wall_clock(now, 0);
    let mut browser = signed_in(&mut world);
    let mut stranger = Browser::at("192.168.1.8");
    let wrong = json!({ "password": "wrong" });
    for _ in 0..=HTTP_LOGIN_TRIES {
        stranger.post(&mut world, "/page/login", &wrong);
    }
    let locked = stranger.post(&mut world, "/page/login", &wrong).status;
    let now = world.now;
    world.gateway.set_wall_clock(now, 1_800_000_000);
    assert_eq!(browser.get(&mut world, "/page/settings").status, 200);
    // Who was locked out is so still, and for no longer.
    assert_eq!(locked, 429);
    let still = stranger.post(&mut world, "/page/login", &wrong).status;
    assert_eq!(still, 429);
}

#[test]
fn the_settings_go_out_as_a_file_only_with_the_password() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    let reply = browser.post(&mut world, "/page/backup", &json!({ "password": "guess" }));
    assert_eq!(
        (reply.status, problem(&reply).as_str()),
        (401, "wrongPassword")
    );
    let reply = browser.post(&mut world, "/page/backup", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["work"], "back-up");
    let place = reply.header("Content-Disposition").unwrap();
    assert_eq!(place, "attachment; filename=\"trunkcast.yml\"");
}

#[test]
fn another_site_changes_nothing_through_the_owners_browser() {
    let mut world = world();
    let owner = signed_in(&mut world);
    let json = "Content-Type: application/json\r\n";
    let ours = "X-Trunkcast: 1\r\n";
    for fields in [
        String::new(),
        json.to_owned(),
        ours.to_owned(),
        format!("Content-Type: text/plain\r\n{ours}"),
        format!("Content-Type: application/x-www-form-urlencoded\r\n{ours}"),
        format!("Content-Type: text/plain; application/json\r\n{ours}"),
        format!("{json}X-Trunkcast: 0\r\n"),
        format!("{json}{ours}Origin: http://evil.example\r\n"),
        format!("{json}{ours}Origin: http://192.0.2.1\r\n"),
        format!("{json}{ours}Origin: null\r\n"),
        format!("{json}{ours}Sec-Fetch-Site: cross-site\r\n"),
        format!("{json}{ours}Sec-Fetch-Site: same-site\r\n"),
    ] {
        let mut victim = Browser {
            post_fields: fields.clone(),
            ..owner.clone()
        };
        let reply = victim.post(&mut world, "/page/restart", &json!({ "when": "now" }));
        assert_eq!(
            (reply.status, problem(&reply).as_str()),
            (403, "crossSite"),
            "{fields}"
        );
    }
    assert_eq!(world.gateway.page_counters().cross_site, 12);
    assert!(!world.gateway.wants_restart());
    let mut owner = Browser {
        post_fields: format!(
            "content-type: Application/JSON; charset=utf-8\r\n{ours}\
             Origin: http://192.0.2.1:8080\r\nSec-Fetch-Site: same-origin\r\n"
        ),
        ..owner
    };
    let reply = owner.post(&mut world, "/page/restart", &json!({ "when": "now" }));
    assert_eq!(reply.status, 202);
    assert!(world.gateway.wants_restart());
}

#[test]
fn another_site_reads_nothing_either() {
    let mut world = world();
    let mut owner = signed_in(&mut world);
    for fields in [
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://192.0.2.1:9000\r\n",
    ] {
        let reply = owner.ask_with(&mut world, "/page/settings", fields);
        assert_eq!(reply.status, 403, "{fields}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), None);
    }
    let reply = owner.ask(&mut world, "OPTIONS", "/page/settings", "");
    assert_eq!(reply.status, 405, "nobody is told that he may ask");
}

#[test]
fn every_answer_tells_browsers_to_trust_nobody() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/page.js"),
        ("HEAD", "/"),
        ("GET", "/page/session"),
        ("GET", "/page/settings"),
        ("GET", "/nothing"),
        ("PUT", "/page/session"),
        ("GET", "/page/diagnostics"),
        ("BREW", "/"),
    ] {
        let reply = match method {
            // The body of a HEAD is left out, its length is not.
            "HEAD" => {
                let conn = browser.begin(&mut world, method, path, "");
                let bytes = world.outlet.take_written(conn);
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.ends_with("\r\n\r\n"), "{text}");
                rest_support::Reply {
                    status: 200,
                    head: text,
                    body: Vec::new(),
                }
            }
            _ => browser.ask(&mut world, method, path, ""),
        };
        let header = |name: &str| {
            reply
                .header(name)
                .unwrap_or_else(|| panic!("{path} {name}"))
        };
        let policy = header("Content-Security-Policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("X-Content-Type-Options"), "nosniff");
        assert_eq!(header("X-Frame-Options"), "DENY");
        assert_eq!(header("Referrer-Policy"), "no-referrer");
        assert_eq!(header("Cross-Origin-Resource-Policy"), "same-origin");
        let kept = match path {
            "/" | "/page.js" if method != "BREW" => "no-cache",
            _ => "no-store",
        };
        assert_eq!(header("Cache-Control"), kept, "{path}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), None);
    }
}

#[test]
fn a_file_that_a_browser_has_is_not_sent_again() {
    let mut world = world();
    let mut browser = Browser::default();
    let reply = browser.get(&mut world, "/page.js");
    let tag = reply.header("ETag").unwrap().to_owned();
    for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = browser.ask_with(
            &mut world,
            "/page.js",
            &format!("If-None-Match: {tags}\r\n"),
        );
        assert_eq!((again.status, again.body.len()), (304, 0), "{tags}");
        assert_eq!(again.header("ETag"), Some(tag.as_str()));
    }
    let other = browser.ask_with(&mut world, "/page.js", "If-None-Match: \"x\"\r\n");
    assert_eq!((other.status, other.body), (200, reply.body));
}

#[test]
fn each_path_says_which_methods_it_takes() {
    let mut world = world();
    let mut browser = signed_in(&mut world);
    for (method, path, allowed) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/page/session", "GET, HEAD"),
        ("GET", "/page/login", "POST"),
        ("PUT", "/page/settings/save", "POST"),
    ] {
        let reply = browser.ask(&mut world, method, path, "");
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("Allow"), Some(allowed), "{method} {path}");
    }
}

#[test]
fn over_tls_the_cookie_is_for_tls_alone() {
    let mut world = world();
    let mut browser = Browser {
        secure: true,
        ..Browser::default()
    };
    let reply = browser.post(&mut world, "/page/login", &json!({ "password": PASSWORD }));
    let cookie = reply.header("Set-Cookie").unwrap();
    assert!(cookie.starts_with("__Host-trunkcast="), "{cookie}");
    assert!(cookie.contains("; Secure"), "{cookie}");
    assert_eq!(browser.get(&mut world, "/page/settings").status, 200);
    let mut plain = Browser {
        secure: false,
        ..browser
    };
    assert_eq!(plain.get(&mut world, "/page/settings").status, 401);
}

#[test]
fn networks_that_are_not_allowed_are_closed_at_once() {
    let mut world = world_of(|config| {
        config.page.allow = vec!["192.168.1.0/24".parse().unwrap()];
    });
    assert!(Browser::at("192.168.1.200").connect(&mut world).is_some());
    for stranger in ["192.168.2.1", "203.0.113.9", "127.0.0.1", "[2001:db8::1]"] {
        assert!(
            Browser::at(stranger).connect(&mut world).is_none(),
            "{stranger}"
        );
    }
    assert_eq!(world.gateway.page_counters().not_allowed, 4);
}

#[test]
fn settings_may_be_long_and_only_of_who_signed_in() {
    let mut world = world();
    let long = |bytes: usize| format!("{{\"settings\":\"{}\"}}", "x".repeat(bytes - 15));
    let mut stranger = Browser::default();
    let path = "/page/settings/check";
    let reply = stranger.ask(&mut world, "POST", path, &long(HTTP_BODY_BYTES + 1));
    assert_eq!((reply.status, problem(&reply).as_str()), (413, "tooLarge"));
    let mut owner = signed_in(&mut world);
    for length in [HTTP_BODY_BYTES, HTTP_BODY_BYTES + 1, PAGE_DOCUMENT_BYTES] {
        let conn = owner.begin(&mut world, "POST", path, &long(length));
        match &world.outlet.desk.front().expect("work").1 {
            DeskWork::CheckSettings { document } => assert_eq!(document.len(), length),
            other => panic!("{other:?}"),
        }
        work(&mut world);
        assert_eq!(owner.end(&mut world, conn).unwrap().status, 200);
    }
    let reply = owner.ask(&mut world, "POST", path, &long(PAGE_DOCUMENT_BYTES + 1));
    assert_eq!(reply.status, 413);
}

#[test]
fn a_long_body_in_pieces_is_whole_and_few_come_at_once() {
    let mut world = world();
    let owner = signed_in(&mut world);
    let body = "x".repeat(PAGE_DOCUMENT_BYTES);
    let request = owner.request("POST", "/page/settings/check", "", &body);
    let (head, rest) = request.split_at(request.len() - PAGE_DOCUMENT_BYTES + 100);
    let mut conns = Vec::new();
    for at in 0..=PAGE_DOCUMENTS {
        let conn = owner.connect(&mut world).unwrap();
        let now = world.now;
        let outlet = &mut world.outlet;
        world
            .gateway
            .handle_stream(now, conn, head.as_bytes(), outlet);
        world.settle();
        world.advance(Duration::from_millis(1));
        let refused = at >= PAGE_DOCUMENTS;
        let text = String::from_utf8(world.outlet.take_written(conn)).unwrap();
        assert_eq!(text.starts_with("HTTP/1.1 413"), refused, "{at}: {text}");
        conns.push(conn);
    }
    let conn = conns[0];
    for piece in rest.as_bytes().chunks(1_000) {
        let now = world.now;
        world
            .gateway
            .handle_stream(now, conn, piece, &mut world.outlet);
    }
    world.settle();
    match &world.outlet.desk.front().expect("work").1 {
        DeskWork::CheckSettings { document } => assert_eq!(document.len(), body.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_take_no_place_of_rest_clients() {
    let mut world = world();
    let mut there = 0;
    for at in 0..3 * PAGE_CONNECTIONS {
        let browser = Browser::at(&format!("192.168.1.{}", at % 200));
        there += usize::from(browser.connect(&mut world).is_some());
    }
    assert!(there >= PAGE_CONNECTIONS);
    assert_eq!(world.gateway.usage().clients, PAGE_CONNECTIONS);
    for _ in 0..10 {
        assert!(rest_support::connect(&mut world, "127.0.0.1:50000").is_some());
    }
    assert_eq!(world.gateway.usage().clients, PAGE_CONNECTIONS + 10);
    world.gateway.check_invariants();
    let browser = Browser::default();
    for _ in 0..3 * PAGE_CONNECTIONS_AN_ADDRESS {
        browser.connect(&mut world);
    }
    assert!(world.gateway.usage().clients <= HTTP_CONNECTIONS + PAGE_CONNECTIONS);
    world.gateway.check_invariants();
}

#[test]
fn an_answer_that_comes_late_goes_to_nobody_else() {
    let mut world = world();
    let mut owner = signed_in(&mut world);
    let conn = owner.begin(&mut world, "GET", "/page/settings", "");
    world.disconnect(conn, "closed by the peer");
    let mut other = Browser::at("192.168.1.8");
    let next = other.connect(&mut world).unwrap();
    work(&mut world);
    assert_eq!(world.outlet.take_written(next), b"");
    world.disconnect(next, "closed by the peer");
    assert_eq!(owner.get(&mut world, "/page/settings").status, 200);
    assert_eq!(other.get(&mut world, "/page/settings").status, 401);
}

#[test]
fn a_restart_waits_for_calls_only_if_it_is_to() {
    let mut world = world();
    let mut owner = signed_in(&mut world);
    for body in [json!({}), json!({ "when": "later" }), json!([])] {
        assert_eq!(owner.post(&mut world, "/page/restart", &body).status, 400);
    }
    let mut phone = gateway_support::Phone::new("4711");
    world.call(&mut phone);
    assert_eq!(
        owner
            .post(&mut world, "/page/restart", &json!({ "when": "idle" }))
            .status,
        202
    );
    assert!(!world.gateway.wants_restart());
    world.bye(&mut phone);
    world.advance(Duration::from_secs(3));
    assert!(world.gateway.wants_restart());
}

#[test]
fn diagnostics_hold_no_secret() {
    let mut world = world_of(|config| {
        let hash = format!("$argon2id${PASSWORD}");
        config.page.password_hash = Some(Secret::new(hash));
        config.rest.password = Some(Secret::new("hunter2-rest".to_owned()));
        let trunk = &mut config.trunks[0];
        trunk.url = Some(
            "rtmp://joe:hunter2-url@192.0.2.5/live?key=hunter2-key"
                .parse()
                .unwrap(),
        );
        trunk.stream_name = "hunter2-stream".parse().unwrap();
    });
    let mut owner = signed_in(&mut world);
    let mut phone = gateway_support::Phone::new("4711");
    world.call(&mut phone);
    for settings in [
        document(
            200,
            r#"{"text":"trunks:\n  office: {}\n  streamName: hunter2-stream\n"}"#,
        ),
        DeskAnswer::Failed("no file".to_owned()),
    ] {
        let conn = owner.begin(&mut world, "GET", "/page/diagnostics", "");
        let (id, _) = world.outlet.desk.pop_front().unwrap();
        let now = world.now;
        world
            .gateway
            .handle_desk(now, id, settings, &mut world.outlet);
        world.settle();
        let reply = owner.end(&mut world, conn).unwrap();
        assert_eq!(reply.status, 200);
        let text = String::from_utf8(reply.body).unwrap();
        for part in [
            "== settings ==",
            "== metrics ==",
            "== log ==",
            "trunkcast_calls_total 1",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("signed in"), "the log is there: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        let token = owner.cookie.as_ref().unwrap().split_once('=').unwrap().1;
        assert!(!text.contains(token) && !text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn the_table_of_sessions_is_bounded() {
    let mut world = world();
    let mut first = signed_in(&mut world);
    for _ in 0..PAGE_SESSIONS {
        world.advance(Duration::from_secs(1));
        signed_in(&mut world);
    }
    assert_eq!(first.get(&mut world, "/page/settings").status, 401);
    let metrics = rest_support::ask(&mut world, "GET", "/metrics", "");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains(&format!("trunkcast_page_sessions {PAGE_SESSIONS}\n")),
        "{text}"
    );
    assert!(text.contains(&format!(
        "trunkcast_page_logins_total {}\n",
        PAGE_SESSIONS + 1
    )));
}

#[test]
fn no_body_breaks_the_way_in() {
    let mut world = world();
    let body = json!({ "password": PASSWORD, "old": PASSWORD, "new": "new password" }).to_string();
    for length in 0..body.len() {
        for path in [
            "/page/login",
            "/page/password",
            "/page/restart",
            "/page/password/change",
        ] {
            let mut browser = Browser::default();
            let reply = browser.ask(&mut world, "POST", path, &body[..length]);
            assert!(
                matches!(reply.status, 400 | 401 | 409),
                "{path} {length}: {}",
                reply.head
            );
        }
    }
    assert_eq!(world.gateway.http_counters().crashed, 0);
    let deep = "[".repeat(10_000);
    let mut browser = Browser::default();
    assert_eq!(
        browser.ask(&mut world, "POST", "/page/login", &deep).status,
        400
    );
}
