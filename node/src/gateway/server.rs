//! Requests, and a bound on everything: how long one may take to come and an answer to be made, how large a body may
//! be, how many are read and worked on at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::call::{Call, Query};
use super::events::STREAMS_MAX;
use super::guard::{self, Guard};
use super::metrics::{Counts, NO_ROUTE};
use super::problem::Problem;
use super::rate::Rates;
use super::routes::{Area, ROUTES, Route};
use super::share::{self, Share, Shares};
use super::taxii::status::Statuses;
use super::{Options, State};
use crate::failure::Failure;
use crate::serve::{Listener, Seat};
use crate::service::edge::{Edge, Guest};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 128;
/// How long a client may take to send a body.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Largest body.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bodies in memory at once, each with what is read from it.
const BODIES_MAX: usize = 2;
/// Most requests that are worked on at once. The core does one thing at a time.
const CALLS_MAX: usize = 16;
/// Most passes that are looked at at once. That takes little, and waits for no request.
const ADMISSIONS_MAX: usize = 4;
/// How long a request may wait to be worked on, and then for its answer.
const CALL_WAIT: Duration = Duration::from_secs(60);
/// A gateway that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: Listener,
    scheme: &'static str,
}

/// Binds the gateway's address. It answers once it is told whom to ask.
pub(crate) fn start(runtime: &Handle, options: &Options) -> Result<Gateway, Failure> {
    let listener = Listener::bind(runtime, options.address).map_err(|error| {
        Failure::io(format_args!("cannot serve the API at {}", options.address), &error)
            .hint("another program may use that port; name another: --api 127.0.0.1:8101")
    })?;
    Ok(Gateway { listener, scheme: options.scheme() })
}

impl Gateway {
    /// Where it listens, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.listener.address())
    }

    /// Begins to answer.
    pub(crate) fn answer(&self, runtime: &Handle, options: &Options, edge: Edge) {
        let state = Arc::new(State {
            edge,
            guard: Guard::new(options, self.listener.address()),
            rates: Mutex::new(Rates::default()),
            shares: Mutex::new(Shares::default()),
            statuses: Mutex::new(Statuses::default()),
            counts: Mutex::new(Counts::default()),
            admissions: Arc::new(Semaphore::new(ADMISSIONS_MAX)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            bodies: Arc::new(Semaphore::new(BODIES_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        });
        let router = router(&state);
        self.listener.answer(
            runtime,
            "the API",
            options.tls.clone(),
            CONNECTIONS_MAX,
            move |request| {
                let (router, state) = (router.clone(), Arc::clone(&state));
                async move { respond(&state, router, request).await }
            },
        );
    }

    /// Asks it to end.
    pub(crate) fn stop(&self) {
        self.listener.stop();
    }
}

/// The route that an answer came by.
#[derive(Clone, Copy, Debug)]
struct Routed(&'static str, &'static str);

/// Answers a request, and counts it.
async fn respond(state: &Arc<State>, router: Router, request: Request) -> Response {
    let began = Instant::now();
    let response = route(state, router, request).await;
    let routed = response.extensions().get::<Routed>().map_or(NO_ROUTE, |by| (by.0, by.1));
    let mut counts = state.counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.count(routed, response.status(), began.elapsed());
    drop(counts);
    response
}

/// Lets a request in, or says why not; then has it routed.
async fn route(state: &Arc<State>, router: Router, mut request: Request) -> Response {
    let area = Area::of(request.uri().path());
    let shown = shown(state, &request);
    let guest = match admit(state, shown).await {
        Ok(guest) => guest,
        Err(problem) => return problem.into_response(area),
    };
    let share = state.shares.lock().unwrap_or_else(PoisonError::into_inner).of(guest.pass_id());
    let Ok(_place) = Arc::clone(&share.calls).try_acquire_owned() else {
        let detail = format!(
            "{} requests of this pass are under way, which is the most; ask again later",
            share::CALLS_MAX
        );
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response(area);
    };
    request.extensions_mut().insert(guest);
    request.extensions_mut().insert(share);
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The token that a request shows, if it was sent to us.
fn shown(state: &State, request: &Request) -> Result<Option<String>, Problem> {
    state.guard.check_origin(request.uri(), request.headers())?;
    guard::token(request.headers())
}

async fn admit(
    state: &Arc<State>,
    shown: Result<Option<String>, Problem>,
) -> Result<Guest, Problem> {
    let guest = match shown? {
        Some(token) => {
            let turn = place(&state.admissions).await?;
            let look = move |state: &Arc<State>| state.edge.admit(&token).map_err(Problem::from);
            worked(state, turn, look).await?
        }
        None => None,
    };
    let now = Instant::now();
    let mut rates = state.rates.lock().unwrap_or_else(PoisonError::into_inner);
    let slower =
        || Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; ask again later");
    match guest {
        Some(guest) if rates.pass(guest.pass_id(), now) => Ok(guest),
        None if rates.stranger(now) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "show a pass that holds, as the password of Basic or as Bearer: `tearline pass mint`",
        )),
        _ => Err(slower()),
    }
}

/// Runs a piece of work for a pass that may wait for the core, when it is its turn: first among those of the
/// pass, then among all.
pub(super) async fn in_turn<T: Send + 'static>(
    state: &Arc<State>,
    share: &Share,
    work: impl FnOnce(&Arc<State>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turns = (place(&share.turns).await?, place(&state.calls).await?);
    worked(state, turns, work).await
}

/// A place, once there is one.
async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = timeout(CALL_WAIT, Arc::clone(places).acquire_owned()).await;
    place.map_err(|_| busy())?.map_err(|_| busy())
}

fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy; ask again later")
}

/// Runs a piece of work where waiting is no harm.
async fn worked<T: Send + 'static>(
    state: &Arc<State>,
    turn: impl Send + 'static,
    work: impl FnOnce(&Arc<State>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let broken = || {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the daemon could not do it; its log says why",
        )
    };
    let state = Arc::clone(state);
    let worked = spawn_blocking(move || {
        // Its turn ends with the work, also when nobody waits for that any more.
        let _turn = turn;
        work(&state)
    });
    let worked = timeout(CALL_WAIT, worked).await.map_err(|_| busy())?;
    worked.map_err(|_| broken())?
}

fn router(state: &Arc<State>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            "POST" => MethodFilter::POST,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let state = Arc::clone(state);
        let handler = move |places: Places, request: Request| async move {
            let area = Area::of(route.path);
            let done = carry_out(&state, route, places, request).await;
            let mut response = done.unwrap_or_else(|problem| problem.into_response(area));
            response.extensions_mut().insert(Routed(route.method, route.path));
            response
        };
        router = router.route(route.path, on(filter, handler));
    }
    router
        .fallback(|request: Request| async move {
            Problem::not_found().into_response(Area::of(request.uri().path()))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let problem = Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this is not done with that method here",
            );
            problem.into_response(Area::of(request.uri().path()))
        })
}

/// What stands in the places of a path, if it can be read.
type Places = Result<RawPathParams, RawPathParamsRejection>;

/// All of a request but its body.
#[derive(Clone)]
struct Head {
    guest: Guest,
    share: Arc<Share>,
    seat: Arc<Seat>,
    headers: HeaderMap,
    query: Query,
    places: Vec<(String, String)>,
}

impl Head {
    fn call(self, state: &Arc<State>, body: Bytes) -> Call<'_> {
        let Self { guest, share, seat, headers, query, places } = self;
        Call { state, guest, share, seat, headers, query, body, places }
    }
}

async fn carry_out(
    state: &Arc<State>,
    route: &'static Route,
    places: Places,
    request: Request,
) -> Result<Response, Problem> {
    let places = places.map_err(|_| Problem::bad("the path is not of UTF-8"))?;
    let places = places.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (mut parts, body) = request.into_parts();
    // Whoever is not a guest was not routed.
    let guest = parts.extensions.remove::<Guest>().ok_or_else(Problem::not_found)?;
    let share = parts.extensions.remove::<Arc<Share>>().ok_or_else(Problem::not_found)?;
    if let Some(needed) = route.needs.filter(|needed| !guest.covers(*needed)) {
        let detail = format!("the pass does not allow to {}", needed.name());
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let seat = parts.extensions.remove::<Arc<Seat>>().ok_or_else(Problem::not_found)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let work = seat.work();
    let (share_of, seat_of) = (Arc::clone(&share), Arc::clone(&seat));
    let headers = parts.headers;
    let head = Head { guest, share: share_of, seat: seat_of, headers, query, places };
    let Some(taken) = &route.body else {
        let work = move |state: &Arc<State>| (route.run)(&head.call(state, Bytes::new()));
        return in_turn(state, &share, work).await;
    };
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send it without an encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    // Who may not bring anything in takes no place of who may.
    let asked = head.clone();
    let may = move |state: &Arc<State>| (taken.may)(&asked.call(state, Bytes::new()));
    in_turn(state, &share, may).await?;
    drop(work);
    let body_places = (place(&share.bodies).await?, place(&state.bodies).await?);
    let body = read_body(body).await?;
    let _work = seat.work();
    in_turn(state, &share, move |state| {
        let _body_places = body_places;
        (route.run)(&head.call(state, body))
    })
    .await
}

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let read = timeout(BODY_WAIT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match read {
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {BODY_BYTES_MAX} bytes; send it in parts"),
        )),
        Ok(Err(_)) => Err(Problem::bad("the body broke off")),
    }
}
