//! The portal, over real HTTP against real daemons: who gets in, what each role reaches, what pages are made
//! of, and what an operator never learns of.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod devices;
mod live;
mod pages;
mod release;
mod sight;

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;
use tearline_tests::daemon::Daemon;
use tearline_tests::http::{self, Answer};

use crate::trust::{done, text};

const PASSPHRASE: &str = "a heron stands in the reeds";

/// A peer with a portal, in a coalition of its own or with another.
struct Stage {
    daemon: Daemon,
    address: String,
    other: Option<Daemon>,
}

impl Stage {
    fn new(folder: &Path) -> io::Result<Self> {
        let mut daemon = Daemon::init(folder, "Border Guard", "NE")?;
        daemon.start_with(&["--portal", "127.0.0.1:0"])?;
        done(daemon.command(&["coalition", "create", "--name", "Drill"])?);
        let status = daemon.ask("status", &json!({}))?;
        let address = text(&status["portal"]).trim_start_matches("http://").trim_end_matches('/');
        Ok(Self { address: address.to_owned(), daemon, other: None })
    }

    /// With another agency, number 2, in one coalition, and a compartment of both called "both".
    fn of_two(folder: &Path) -> io::Result<Self> {
        let mut stage = Self::new(folder)?;
        let mut other = Daemon::init(folder, "Customs", "TD")?;
        other.start()?;
        let invitation = done(stage.daemon.command(&["peer", "invite"])?);
        done(other.command(&["join", text(&invitation["invitation"])])?);
        done(stage.daemon.command(&["compartment", "open", "--name", "both", "--rel", "TD"])?);
        stage.other = Some(other);
        Ok(stage)
    }

    /// A record that the other agency wrote for both, as soon as it is here.
    fn of_the_other(&self) -> io::Result<String> {
        let other = self.other.as_ref().ok_or_else(|| io::Error::other("there is no other"))?;
        let new = [
            "record",
            "new",
            "--kind",
            "incident",
            "--compartment",
            "both",
            "--set",
            "name=theirs",
        ];
        crate::trust::until(|| Ok(other.command(&["compartment", "show", "both"])?.code == 0))?;
        let record = text(&done(other.command(&new)?)["record"]).to_owned();
        crate::trust::until(|| Ok(self.daemon.command(&["record", "show", &record])?.code == 0))?;
        Ok(record)
    }

    /// Adds an operator and signs him in.
    fn operator(&self, name: &str, role: &str, label_max: &str) -> io::Result<Browser> {
        let add = ["operator", "add", name, "--role", role, "--label-max", label_max];
        let added = done(self.daemon.command(&add)?);
        let mut browser = Browser::new(&self.address);
        let form = [
            ("name", name),
            ("code", text(&added["code"])),
            ("passphrase", PASSPHRASE),
            ("again", PASSPHRASE),
        ];
        browser.get("/setup")?;
        assert_eq!(browser.post("/setup", &form)?.status, 303);
        let page = browser.get("/enrol")?;
        if page.status == 200 {
            let secret = between(&page.body, "<code dir=\"ltr\">", "</code>").to_owned();
            let code = totp(&secret)?;
            let answer = browser.post("/enrol", &[("code", &code)])?;
            assert_eq!(answer.status, 303, "{}", answer.body);
        }
        Ok(browser)
    }

    fn record(&self, arguments: &[&str]) -> io::Result<String> {
        let new = [&["record", "new"][..], arguments].concat();
        Ok(text(&done(self.daemon.command(&new)?)["record"]).to_owned())
    }
}

/// A browser that keeps its cookie and sends forms as browsers do.
struct Browser {
    address: String,
    cookie: String,
    token: String,
}

impl Browser {
    fn new(address: &str) -> Self {
        Self { address: address.into(), cookie: String::new(), token: String::new() }
    }

    fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], "")
    }

    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        let token = self.token.clone();
        let fields = [&[("csrf", token.as_str())], fields].concat();
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", quote(name), quote(value)))
            .collect();
        let origin = format!("http://{}", self.address);
        let headers =
            [("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &headers, &body.join("&"))
    }

    /// Asks for a stream.
    fn open(&self, path: &str) -> io::Result<(u16, io::BufReader<std::net::TcpStream>)> {
        http::open(&self.address, path, &[("Cookie", &self.cookie)])
    }

    /// Sends a form with a file.
    fn upload(&mut self, path: &str, field: &str, name: &str, bytes: &[u8]) -> io::Result<Answer> {
        let head = |what: &str| format!("--edge\r\nContent-Disposition: form-data; {what}\r\n\r\n");
        let mut body = head("name=\"csrf\"").into_bytes();
        body.extend_from_slice(self.token.as_bytes());
        body.extend_from_slice(b"\r\n");
        let file = format!("name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: image/png");
        body.extend_from_slice(head(&file).as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        let origin = format!("http://{}", self.address);
        let headers =
            [("Origin", origin.as_str()), ("Content-Type", "multipart/form-data; boundary=edge")];
        self.send_bytes("POST", path, &headers, &body)
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        self.send_bytes(method, path, headers, body.as_bytes())
    }

    fn send_bytes(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut all = headers.to_vec();
        let cookie = self.cookie.clone();
        if !cookie.is_empty() {
            all.push(("Cookie", &cookie));
        }
        let answer = http::request(&self.address, method, path, &all, body)?;
        let set = answer.header("set-cookie");
        if !set.is_empty() {
            assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
            set.split(';').next().unwrap_or_default().clone_into(&mut self.cookie);
        }
        if answer.body.contains("name=\"csrf\"") {
            between(&answer.body, "name=\"csrf\" value=\"", "\"").clone_into(&mut self.token);
        }
        Ok(answer)
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let behind = text.split_once(begin).map_or("", |(_, behind)| behind);
    behind.split_once(end).map_or("", |(found, _)| found)
}

fn quote(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The code of an authenticator now (RFC 6238), made here and not by what it proves.
fn totp(secret: &str) -> io::Result<String> {
    let mut bits = 0_u64;
    let mut key = Vec::new();
    for (n, letter) in secret.bytes().enumerate() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        };
        bits = bits << 5 | u64::from(value);
        if n % 8 == 7 {
            key.extend_from_slice(&bits.to_be_bytes()[3..]);
            bits = 0;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).map_err(io::Error::other)?;
    mac.update(&(now.as_secs() / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let four: [u8; 4] = hash[at..at + 4].try_into().map_err(io::Error::other)?;
    Ok(format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000))
}

#[test]
fn nobody_gets_in_without_signing_in() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let mut stranger = Browser::new(&stage.address);
    let login = stranger.get("/login").unwrap();
    let style = between(&login.body, "href=\"/assets/", "\"").to_owned();
    for (method, path, access) in tearline_node::portal::routes() {
        let path = filled(path);
        let path = path.replace("{name}", &style);
        let open = access == tearline_node::portal::Access::Open;
        if method == "GET" {
            let answer = stranger.get(&path).unwrap();
            assert_eq!(answer.status, if open { 200 } else { 303 }, "{path}");
            assert!(open || answer.header("location") == "/login", "{path}");
        } else {
            // With the token that forms of strangers have.
            let answer = if takes_a_file(&path) {
                stranger.upload(&path, "file", "a", b"")
            } else {
                stranger.post(&path, &[])
            };
            let answer = answer.unwrap();
            assert!(matches!(answer.status, 400 | 401 | 403), "{path}: {}", answer.status);
        }
        assert!(answer_is_held(&stranger.get(&path).unwrap()), "{path}");
    }
    assert_eq!(stranger.get("/nowhere").unwrap().status, 303);
}

fn takes_a_file(path: &str) -> bool {
    path.ends_with("/attach") || path == "/bundles/import"
}

/// A path with something in each of its places.
fn filled(path: &str) -> String {
    path.replace("{record}", &"0".repeat(32))
        .replace("{kind}", "sighting")
        .replace("{device}", &"0".repeat(64))
        .replace("{entry}", &"0".repeat(64))
        .replace("{file}", "none")
}

/// Whether a browser keeps nothing of an answer and runs nothing in it.
fn answer_is_held(answer: &Answer) -> bool {
    let policy = answer.header("content-security-policy");
    answer.status == 405
        || policy.starts_with("default-src 'none';")
            && !policy.contains("unsafe")
            && (policy.contains("script-src 'self';") || policy.ends_with("sandbox"))
            && answer.header("x-content-type-options") == "nosniff"
            && answer.header("referrer-policy") == "same-origin"
}

#[test]
fn a_session_begins_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let mut amina = stage.operator("Amina", "analyst", "RED").unwrap();
    assert_eq!(amina.get("/board").unwrap().status, 200);
    // Forms without the token, or from elsewhere, do nothing.
    let token = std::mem::replace(&mut amina.token, "0".repeat(64));
    assert_eq!(amina.post("/logout", &[]).unwrap().status, 403);
    amina.token = token;
    let evil =
        [("Origin", "http://127.0.0.1:1"), ("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("csrf={}", amina.token);
    assert_eq!(amina.send("POST", "/logout", &evil, &body).unwrap().status, 403);
    assert_eq!(amina.send("GET", "/board", &[("Host", "evil.example")], "").unwrap().status, 421);
    let site = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(amina.send("GET", "/board", &site, "").unwrap().status, 403);
    assert_eq!(amina.get("/board").unwrap().status, 200);
    // A second browser with the passphrase; wrong ones lock out.
    let mut second = Browser::new(&stage.address);
    second.get("/login").unwrap();
    let before = second.cookie.clone();
    let sign_in = |browser: &mut Browser, passphrase: &str| {
        browser.post("/login", &[("name", "Amina"), ("passphrase", passphrase)]).unwrap()
    };
    assert_eq!(sign_in(&mut second, PASSPHRASE).status, 303);
    assert_ne!(second.cookie, before, "the token is new");
    assert_eq!(second.get("/records").unwrap().status, 200);
    let mut third = Browser::new(&stage.address);
    third.get("/login").unwrap();
    for _ in 0..5 {
        assert_eq!(sign_in(&mut third, "not the passphrase").status, 403);
    }
    assert_eq!(sign_in(&mut third, PASSPHRASE).status, 403, "locked out");
    // Signing out ends one session; a change of the account ends all.
    let old = amina.cookie.clone();
    assert_eq!(amina.post("/logout", &[]).unwrap().status, 303);
    amina.cookie = old;
    assert_eq!(amina.get("/board").unwrap().status, 303);
    assert_eq!(second.get("/board").unwrap().status, 200);
    done(stage.daemon.command(&["operator", "role", "Amina", "viewer"]).unwrap());
    assert_eq!(second.get("/board").unwrap().status, 303);
}

/// Which roles reach a route: v(iewer), a(nalyst), w(atch officer), f(ield), p (approver), u (auditor),
/// d(ata-protection officer), m (admin). A route without a row fails.
const REACH: &[(&str, &str)] = &[
    ("GET /assets/{name}", "vawfpudm"),
    ("GET /favicon.svg", "vawfpudm"),
    ("GET /events", "vawfpudm"),
    ("GET /login", "vawfpudm"),
    ("POST /login", "vawfpudm"),
    ("GET /setup", "vawfpudm"),
    ("POST /setup", "vawfpudm"),
    ("GET /enrol", "vawfpudm"),
    ("POST /enrol", "vawfpudm"),
    ("POST /logout", "vawfpudm"),
    ("POST /purpose", "vawfpudm"),
    ("GET /", "vawfpudm"),
    ("GET /board", "vawfpd"),
    ("POST /board/mark", "aw"),
    ("POST /board/shift", "vawfpd"),
    ("GET /records", "vawfpd"),
    ("POST /records/views", "vawfpd"),
    ("GET /map", "vawfpd"),
    ("GET /timeline", "vawfpd"),
    ("GET /record/{record}", "vawfpd"),
    ("GET /record/{record}/why", "vawfpd"),
    ("POST /record/{record}/edit", "awf"),
    ("POST /record/{record}/resolve", "awf"),
    ("POST /record/{record}/note", "awf"),
    ("GET /record/{record}/withhold", "wpd"),
    ("POST /record/{record}/say", "wpd"),
    ("GET /record/{record}/release", "aw"),
    ("POST /record/{record}/release", "aw"),
    ("POST /record/{record}/attach", "awf"),
    ("POST /record/{record}/fetch", "vawfpd"),
    ("GET /record/{record}/file/{file}", "vawfpd"),
    ("GET /releases", "wp"),
    ("POST /releases/decide", "wp"),
    ("GET /new", "awf"),
    ("GET /new/{kind}", "awf"),
    ("POST /new/{kind}", "awf"),
    ("GET /devices", "wp"),
    ("GET /device/{device}", "wp"),
    ("POST /device/{device}", "wp"),
    ("GET /inbox", "wp"),
    ("GET /inbox/{entry}", "wp"),
    ("POST /inbox/{entry}/adopt", "wp"),
    ("GET /bundles", "wfm"),
    ("POST /bundles/export", "wfm"),
    ("POST /bundles/import", "wfm"),
    ("POST /new/{kind}/draft", "awf"),
    ("GET /mesh", "wm"),
    ("GET /sharing", "awpdm"),
    ("POST /sharing/approve", "p"),
    ("GET /audit", "ud"),
    ("POST /audit/verify", "ud"),
    ("GET /operators", "m"),
    ("POST /operators/add", "m"),
    ("POST /operators/change", "m"),
    ("GET /settings", "vawfpudm"),
    ("POST /settings", "vawfpudm"),
    ("GET /help", "vawfpudm"),
    ("GET /about", "vawfpudm"),
];

#[test]
fn each_role_reaches_its_routes_and_no_others() {
    let routes: Vec<String> = tearline_node::portal::routes()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let rows: Vec<&str> = REACH.iter().map(|(route, _)| *route).collect();
    assert_eq!(routes, rows, "the table has a row for each route");
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    for (letter, role) in [
        ('v', "viewer"),
        ('a', "analyst"),
        ('w', "watch-officer"),
        ('f', "field"),
        ('p', "approver"),
        ('u', "auditor"),
        ('d', "data-protection-officer"),
        ('m', "admin"),
    ] {
        let mut browser = stage.operator(role, role, "RED").unwrap();
        browser.get("/settings").unwrap();
        for (route, reached_by) in REACH {
            let (method, path) = route.split_once(' ').unwrap();
            // What ends the session, or would be another, is tried elsewhere.
            if matches!(*route, "POST /logout" | "POST /login" | "POST /setup") {
                continue;
            }
            let path = filled(path);
            // Forms without fields: they are refused by what they lack, not by whose they are.
            let answer = match method {
                // A stream does not end by itself.
                "GET" if path == "/events" => {
                    let (status, _) = browser.open(&path).unwrap();
                    assert_eq!(status, 200, "{role} {route}");
                    continue;
                }
                "GET" => browser.get(&path),
                _ if takes_a_file(&path) => browser.upload(&path, "file", "a", b""),
                _ => browser.post(&path, &[]),
            };
            let answer = answer.unwrap();
            let reached = answer.status != 403;
            assert_eq!(reached, reached_by.contains(letter), "{role} {route}: {}", answer.status);
            assert!(answer.status < 500, "{role} {route}: {}", answer.status);
        }
    }
}
