//! Where the backend is, and its requests as bytes (RFC 9112, section 3).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::redact::Secret;
use crate::gateway::config;
use crate::gateway::hooks::method::Method;
use crate::gateway::outlet::Security;
use crate::wire::http_auth::basic;

/// What we call ourselves.
const USER_AGENT: &str = concat!("Trunkcast/", env!("CARGO_PKG_VERSION"));

/// The backend's address in its parts.
#[derive(Debug)]
pub struct Target {
    /// Its host, without the brackets of an IPv6 address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub security: Security,
    authority: String,
    path: String,
    query: Option<Secret<String>>,
    authorization: Option<Secret<String>>,
}

impl Target {
    /// The backend of a configuration.
    pub fn of(config: &config::Hooks) -> Self {
        let url = &config.url;
        let (path, query) = url.path_and_query();
        let credentials = config.credentials();
        Self {
            host: url.host().to_string(),
            port: url.port(),
            security: match url.is_tls() {
                true => Security::BackendTls,
                false => Security::Plain,
            },
            authority: url.authority(),
            path: path.to_owned(),
            query: query.map(|query| Secret::new(query.to_owned())),
            authorization: credentials.map(|(user, password)| basic(&user, password.expose())),
        }
    }

    /// The request of a method.
    pub fn request(&self, method: Method, body: &str) -> Vec<u8> {
        let (path, authority) = (&self.path, &self.authority);
        let mut text = format!("POST {path}/{method}");
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query.expose());
        }
        text.push_str(" HTTP/1.1\r\nHost: ");
        text.push_str(authority);
        text.push_str("\r\nUser-Agent: ");
        text.push_str(USER_AGENT);
        text.push_str("\r\nAccept: application/json\r\nContent-Type: application/json\r\n");
        if let Some(authorization) = &self.authorization {
            text.push_str("Authorization: ");
            text.push_str(authorization.expose());
            text.push_str("\r\n");
        }
        text.push_str("Content-Length: ");
        text.push_str(&body.len().to_string());
        text.push_str("\r\n\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, change: impl Fn(&mut config::Hooks)) -> String {
        let mut config = config::Hooks::new(url.parse().unwrap());
        change(&mut config);
        let target = Target::of(&config);
        assert!(!format!("{target:?}").contains("s3cret"));
        String::from_utf8(target.request(Method::SendDtmf, "{\"a\":\"é\"}")).unwrap()
    }

    #[test]
    fn a_request_names_its_method_and_the_length_of_its_body() {
        let text = request("http://backend:8080/MyAPI/", |_| {});
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{\"a\":\"é\"}");
        let lines: Vec<_> = head.split("\r\n").collect();
        assert_eq!(lines[0], "POST /MyAPI/sendDtmf HTTP/1.1");
        assert_eq!(lines[1], "Host: backend:8080");
        assert!(lines.contains(&"Content-Type: application/json"));
        assert!(lines.contains(&"Content-Length: 10"));
        assert!(!head.contains("Authorization"));
    }

    #[test]
    fn the_password_is_that_of_the_file_or_of_the_address() {
        let of_url = "http://joe:s3cret@backend/api?key=s3cret";
        let text = request(of_url, |_| {});
        assert!(text.starts_with("POST /api/sendDtmf?key=s3cret HTTP/1.1\r\nHost: backend\r\n"));
        assert!(text.contains("\r\nAuthorization: Basic am9lOnMzY3JldA==\r\n"));
        let text = request(of_url, |config| {
            config.username = Some("ann".to_owned());
            config.password = Some(Secret::new("pw".to_owned()));
        });
        assert!(
            text.contains("\r\nAuthorization: Basic YW5uOnB3\r\n"),
            "{text}"
        );
        assert!(!text.contains("joe"));
    }
}
