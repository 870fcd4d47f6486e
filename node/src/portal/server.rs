//! Requests and sessions, and a bound on everything: how long a form may take to come and an answer to be made, how
//! large a form may be, how many are worked on at once.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::call::{Call, Done};
use super::form::{FORM_BYTES_MAX, Form, QUERY_BYTES_MAX};
use super::guard::{Guard, single};
use super::html::{self, Trouble};
use super::language::Language;
use super::live::STREAMS_MAX;
use super::multipart::{self, Upload};
use super::routes::{ROUTES, Route};
use super::session::{Session, Sessions, Token};
use super::{Access, Options, State, frame};
use crate::failure::Failure;
use crate::operators::Right;
use crate::serve::{Listener, Seat};
use crate::service::Tearline;
use crate::service::books::{Books, now_ms};
use crate::service::sight::Viewer;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send a form.
const FORM_WAIT: Duration = Duration::from_secs(30);
/// Most requests that are worked on at once. The core does one thing at a time.
const CALLS_MAX: usize = 8;
/// Most passphrases that are stretched at once: each takes 64 MiB.
const LOGINS_MAX: usize = 1;
/// Most forms with files that are read at once, and how long a client may take to send one.
const UPLOADS_MAX: usize = 1;
const UPLOAD_WAIT: Duration = Duration::from_secs(120);
/// How long a request may wait to be worked on, and then for its answer.
const CALL_WAIT: Duration = Duration::from_secs(30);

/// A portal that runs. It ends when it is told to.
#[derive(Debug)]
pub(crate) struct Portal(Listener);

/// Binds the portal's address. It answers once it is told whom to ask.
pub(crate) fn start(runtime: &Handle, options: &Options) -> Result<Portal, Failure> {
    let listener = Listener::bind(runtime, options.address).map_err(|error| {
        Failure::io(format_args!("cannot serve the portal at {}", options.address), &error)
            .hint("another program may use that port; name another: --portal 127.0.0.1:8081")
    })?;
    Ok(Portal(listener))
}

impl Portal {
    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Begins to answer, and prints the link to it; and, while there is no operator, the code with which the
    /// first one comes in.
    pub(crate) fn answer(
        &self,
        runtime: &Handle,
        device: &str,
        peer: &str,
        service: &Arc<Tearline>,
        books: &Books,
    ) -> Result<(), Failure> {
        let own: String = device.chars().take(OWN_DIGITS).collect();
        let guard = Guard::new(self.address(), &format!("tearline-{own}"));
        let mut text = format!("portal: {}\n", guard.link());
        if let Some(code) = books.operators.begin(now_ms())? {
            text += &format!(
                "portal: no operator yet; within 15 minutes the first makes himself an administrator \
                 under \"first sign-in\" with the code {}\n",
                code.as_str()
            );
        }
        // For whoever stands at the console, and not for the log.
        let _ = std::io::stderr().write_all(text.as_bytes());
        let state = Arc::new(State {
            service: Arc::clone(service),
            books: books.clone(),
            guard,
            sessions: Mutex::new(Sessions::default()),
            cookie: format!("tearline-{own}"),
            peer: peer.to_owned(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            logins: Arc::new(Semaphore::new(LOGINS_MAX)),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            streams_of: Mutex::default(),
            runtime: runtime.clone(),
            stop: self.0.ending(),
        });
        let router = router(&state);
        self.0.answer(runtime, "the portal", None, CONNECTIONS_MAX, move |request| {
            let (router, state) = (router.clone(), Arc::clone(&state));
            async move { respond(&state, router, request).await }
        });
        Ok(())
    }

    /// Asks it to end.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }
}

/// Digits of the device's id in the portal's own name.
const OWN_DIGITS: usize = 8;

async fn respond(state: &Arc<State>, router: Router, request: Request) -> Response {
    if let Err(status) = state.guard.check(request.method(), request.uri(), request.headers()) {
        return html::plain(status);
    }
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What stands in the places of a path, if it can be read.
type Places = Result<RawPathParams, RawPathParamsRejection>;

fn router(state: &Arc<State>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = if route.method == "POST" { MethodFilter::POST } else { MethodFilter::GET };
        let state = Arc::clone(state);
        let handler = move |places: Places, request: Request| async move {
            carry_out(&state, route, places, request).await
        };
        router = router.route(route.path, on(filter, handler));
    }
    let state = Arc::clone(state);
    router
        .fallback(move |request: Request| async move {
            carry_out(&state, &super::routes::NO_ROUTE, no_places(), request).await
        })
        .method_not_allowed_fallback(|| async { html::plain(StatusCode::METHOD_NOT_ALLOWED) })
}

/// Of a path that is none of ours there are none.
fn no_places() -> Vec<(String, String)> {
    Vec::new()
}

/// The places of a path.
trait IntoPlaces {
    fn into_places(self) -> Result<Vec<(String, String)>, StatusCode>;
}

impl IntoPlaces for Places {
    fn into_places(self) -> Result<Vec<(String, String)>, StatusCode> {
        let places = self.map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok(places.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl IntoPlaces for Vec<(String, String)> {
    fn into_places(self) -> Result<Vec<(String, String)>, StatusCode> {
        Ok(self)
    }
}

async fn carry_out(
    state: &Arc<State>,
    route: &'static Route,
    places: impl IntoPlaces,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let places = match places.into_places() {
        Ok(places) => places,
        Err(status) => return html::plain(status),
    };
    let is_known = || {
        cookie(&parts.headers, &state.cookie)
            .is_some_and(|token| session_of(state, &token, false).is_some())
    };
    // Nobody else takes the place of those who may, nor sends what is read before it is looked at.
    if route.upload_bytes_max > 0 && !is_known() {
        return html::plain(StatusCode::FORBIDDEN);
    }
    // One after the other: a file is held in memory until it was worked on.
    let _uploading = if route.upload_bytes_max > 0 {
        let place = timeout(UPLOAD_WAIT, Arc::clone(&state.uploads).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return html::plain(StatusCode::SERVICE_UNAVAILABLE) };
        Some(place)
    } else {
        None
    };
    let read = async {
        let query = parts.uri.query().unwrap_or_default();
        let query = Form::parse(query.as_bytes(), QUERY_BYTES_MAX)?;
        let (form, files) = match (&parts.method, route.upload_bytes_max) {
            (&Method::POST, 0) => (read_form(&parts.headers, body).await?, Vec::new()),
            (&Method::POST, max) => read_upload(&parts.headers, body, max).await?,
            _ => (Form::default(), Vec::new()),
        };
        Ok::<_, StatusCode>((query, form, files))
    };
    let (query, form, files) = match read.await {
        Ok(read) => read,
        Err(status) => return html::plain(status),
    };
    // Until here it waited for its client.
    let _work = parts.extensions.get::<Arc<Seat>>().map(Seat::work);
    let path = parts.uri.path().to_owned();
    let headers = parts.headers;
    let turns = if route.stretches { &state.logins } else { &state.calls };
    let turn = timeout(CALL_WAIT, Arc::clone(turns).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return html::plain(StatusCode::SERVICE_UNAVAILABLE) };
    let state = Arc::clone(state);
    let worked = spawn_blocking(move || {
        // Its turn ends with the work, also when nobody waits for that any more.
        let _turn = turn;
        answer(&state, route, &headers, Asked { path, places, query, form, files })
    });
    match timeout(CALL_WAIT, worked).await {
        Err(_) => html::plain(StatusCode::SERVICE_UNAVAILABLE),
        Ok(Err(_)) => html::plain(StatusCode::INTERNAL_SERVER_ERROR),
        Ok(Ok(response)) => response,
    }
}

/// What a request asks for.
struct Asked {
    path: String,
    places: Vec<(String, String)>,
    query: Form,
    form: Form,
    files: Vec<Upload>,
}

fn answer(
    state: &Arc<State>,
    route: &'static Route,
    headers: &HeaderMap,
    asked: Asked,
) -> Response {
    let came = cookie(headers, &state.cookie);
    // What a page asks for by itself is no sign of somebody being there.
    let alone = route.path == "/events" || headers.contains_key("tearline-live");
    let session = came.as_ref().and_then(|token| session_of(state, token, !alone));
    // Forms of who is not signed in have a token, too.
    let (token, is_new) = match came {
        Some(token) => (token, false),
        None => match Token::draw() {
            Ok(token) => (token, true),
            Err(_) => return html::plain(StatusCode::INTERNAL_SERVER_ERROR),
        },
    };
    let Asked { path, places, query, form, files } = asked;
    let chosen = Language::parse(query.text("lang"));
    let language = chosen
        .or_else(|| session.as_ref().and_then(Session::language))
        .unwrap_or_else(|| Language::accepted(headers));
    let call = Call {
        state: Arc::clone(state),
        session,
        token,
        language,
        method: route.method,
        route: route.path,
        path,
        query,
        form,
        files,
        live: headers.contains_key("tearline-live"),
        places,
    };
    let mut response = run(&call, route);
    if is_new && route.gives_cookie {
        html::set_cookie(&mut response, &state.cookie, &call.token);
    }
    response
}

/// Carries a request out, if it is one of who may.
fn run(call: &Call, route: &'static Route) -> Response {
    match check_access(call, route) {
        Ok(None) => {}
        Ok(Some(elsewhere)) => return html::redirect(elsewhere),
        Err(trouble) => return frame::trouble(call, &trouble),
    }
    let done: Done = (route.run)(call);
    done.unwrap_or_else(|trouble| frame::trouble(call, &trouble))
}

/// Whether a request may be carried out; or where its browser is sent instead.
fn check_access(call: &Call, route: &Route) -> Result<Option<&'static str>, Trouble> {
    // The form's token first: without it nobody is told anything.
    if route.method == "POST" && call.form.secret("csrf") != call.token.form_token() {
        return Err(Trouble::new(StatusCode::FORBIDDEN));
    }
    let right = match route.access {
        Access::Open => return Ok(None),
        Access::Member => None,
        Access::Holder(right) => Some(right),
    };
    let Some(session) = &call.session else {
        return match route.method {
            "GET" => Ok(Some("/login")),
            _ => Err(Trouble::new(StatusCode::UNAUTHORIZED)),
        };
    };
    if session.enrols.is_some() && !matches!(route.path, "/enrol" | "/logout") {
        return Ok(Some("/enrol"));
    }
    match right {
        Some(right) if !session.role.may(right) => Err(Trouble::new(StatusCode::FORBIDDEN)),
        _ => Ok(None),
    }
}

/// The session of a cookie, while its operator is what he was when it began.
fn session_of(state: &State, token: &Token, goes_on: bool) -> Option<Session> {
    let mut sessions = state.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let session = sessions.look(token, now_ms(), goes_on)?;
    if state.books.operators.holds(&session.name, session.generation) {
        return Some(session);
    }
    sessions.end(token);
    None
}

/// What the operator of a token is shown, while his session lasts; it does not go on by this.
pub(super) fn viewer_of(state: &State, token: &Token) -> Option<Viewer> {
    let session = session_of(state, token, false)?;
    (session.enrols.is_none() && session.role.may(Right::Consult)).then(|| session.viewer())
}

/// Our cookie of a request, if it has the form of one. Of two none is taken.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Token> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Token::parse(value),
        _ => None,
    }
}

async fn read_form(headers: &HeaderMap, body: Body) -> Result<Form, StatusCode> {
    let kind = single(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    Form::parse(&read_body(body, FORM_BYTES_MAX, FORM_WAIT).await?, FORM_BYTES_MAX)
}

/// A form with files.
async fn read_upload(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<(Form, Vec<Upload>), StatusCode> {
    let kind = single(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let boundary = multipart::boundary(kind).ok_or(StatusCode::UNSUPPORTED_MEDIA_TYPE)?.to_owned();
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let body = read_body(body, bytes_max, UPLOAD_WAIT).await?;
    let parsed = spawn_blocking(move || multipart::parse(&boundary, &body));
    parsed.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
}

async fn read_body(body: Body, bytes_max: usize, wait: Duration) -> Result<Bytes, StatusCode> {
    match timeout(wait, Limited::new(body, bytes_max).collect()).await {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
    }
}
