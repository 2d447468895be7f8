//! A certificate authority of the test's own, by the `openssl` program.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Scratch;
use super::program::run;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Since 2020, until 2049.
    Now,
    /// Until 2021.
    Past,
    /// From 2048 on.
    Future,
}

/// An authority with the certificates that it signed.
pub struct Authority {
    folder: Scratch,
}

/// A server's certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

const CONFIG: &str = "\
[ca]
default_ca = own
[own]
new_certs_dir = @FOLDER@
database = @FOLDER@/index.txt
serial = @FOLDER@/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
";

impl Authority {
    /// A new authority with a key of its own; all have the same name.
    pub fn new() -> Self {
        Self::named("authority of a test")
    }

    /// The same with another name.
    pub fn named(name: &str) -> Self {
        let authority = Self {
            folder: Scratch::new("authority"),
        };
        let folder = authority.folder.path().to_string_lossy();
        let config = CONFIG.replace("@FOLDER@", &folder);
        authority.folder.write("openssl.cnf", config);
        authority.folder.write("index.txt", "");
        authority.folder.write("serial", "01\n");
        authority.sign_itself("ca", name, "basicConstraints=critical,CA:TRUE");
        authority
    }

    /// The file of its certificate, for `rtmp.caFile`.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs a certificate for names such as `IP:127.0.0.1` or `DNS:localhost`.
    pub fn certify(&self, names: &str, validity: Validity) -> Certificate {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("server{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let [from, until] = match validity {
            Validity::Now => ["20200101000000Z", "20490101000000Z"],
            Validity::Past => ["20200101000000Z", "20210101000000Z"],
            Validity::Future => ["20480101000000Z", "20490101000000Z"],
        };
        let mut extensions = "basicConstraints=CA:FALSE\n".to_owned();
        if !names.is_empty() {
            extensions.push_str(&format!("subjectAltName={names}\n"));
        }
        self.folder.write("extensions.cnf", extensions);
        let file = |kind: &str| format!("{name}.{kind}");
        self.openssl(&[
            &[
                "req",
                "-new",
                "-config",
                "openssl.cnf",
                "-subj",
                "/CN=server",
            ],
            &KEY[..],
            &["-keyout", &file("key"), "-out", &file("csr")],
        ]);
        self.openssl(&[
            &["ca", "-batch", "-notext", "-config", "openssl.cnf"],
            &["-cert", "ca.pem", "-keyfile", "ca.key"],
            &["-startdate", from, "-enddate", until],
            &["-extfile", "extensions.cnf"],
            &["-in", &file("csr"), "-out", &file("pem")],
        ]);
        self.certificate(&name)
    }

    /// A certificate for 127.0.0.1 that is signed by no authority but itself; as one of an
    /// authority, which is what `openssl req -x509` makes when not told otherwise, or as a plain one.
    pub fn certify_alone(&self, as_authority: bool) -> Certificate {
        let constraint = match as_authority {
            true => "basicConstraints=critical,CA:TRUE",
            false => "basicConstraints=CA:FALSE",
        };
        self.sign_itself("alone", "server", constraint);
        self.certificate("alone")
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate {
            certificate: self.folder.join(&format!("{name}.pem")),
            key: self.folder.join(&format!("{name}.key")),
        }
    }

    fn sign_itself(&self, file: &str, name: &str, constraint: &str) {
        self.openssl(&[
            &["req", "-x509", "-config", "openssl.cnf", "-days", "3650"],
            &["-subj", &format!("/CN={name}")],
            &KEY[..],
            &[
                "-addext",
                constraint,
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ],
            &["-keyout", &format!("{file}.key")],
            &["-out", &format!("{file}.pem")],
        ]);
    }

    fn openssl(&self, arguments: &[&[&str]]) {
        run(Command::new("openssl")
            .current_dir(self.folder.path())
            .args(arguments.concat()));
    }
}

/// The key is made with the request.
const KEY: [&str; 5] = [
    "-nodes",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
];
