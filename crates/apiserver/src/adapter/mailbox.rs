//! What passes between the tasks of a client and the one who owns the server: letters in one direction, answers and lines of watches in the other.
//! Neither waits for a lock that the other holds.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot};
use tower::{BoxError, Service};

use crate::error::ApiError;
use crate::request::{BODY_BYTES_MAX, BODY_LIMIT};
use crate::store::to_bytes;

/// Requests that have been sent and not been taken; whoever sends more waits.
const LETTERS_MAX: usize = 4_096;

/// Lines of a watch that have been sent and not been read; the watch of a client that is slower ends, as a real server's does.
const LINES_MAX: usize = 65_536;

/// Bytes of a body that is too long that are read all the same: the client hears the answer when it has sent everything.
const EXCESS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whose letter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) usize);

/// A request on its way.
pub(super) struct Letter {
    pub(super) from: ConnectionId,
    pub(super) request: Request<Bytes>,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What comes of a request.
pub(super) enum Reply {
    Response(Response<Bytes>),
    Watch(mpsc::Receiver<Line>),
    /// The connection broke.
    Broken,
}

/// A line of a watch.
pub(super) type Line = Bytes;

/// Where letters arrive.
pub(super) struct Inbox {
    receiver: mpsc::Receiver<Letter>,
    sender: mpsc::Sender<Letter>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(LETTERS_MAX);
        Self { receiver, sender }
    }

    pub(super) async fn receive(&mut self) -> Option<Letter> {
        self.receiver.recv().await
    }

    pub(super) fn take(&mut self) -> Option<Letter> {
        self.receiver.try_recv().ok()
    }

    /// A new client's way to the server.
    pub(super) fn wire(&self, id: ConnectionId) -> Wire {
        Wire { id, letters: self.sender.clone(), is_cut: Arc::default() }
    }
}

/// Sends a watch's lines to its reader.
pub(super) struct WatchSender(mpsc::Sender<Line>);

impl WatchSender {
    pub(super) fn new() -> (Self, mpsc::Receiver<Line>) {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        (Self(sender), receiver)
    }

    /// Whether there is a reader that can take another line; the line is sent then.
    pub(super) fn send(&self, line: Line) -> bool {
        self.0.try_send(line).is_ok()
    }

    pub(super) fn is_read(&self) -> bool {
        !self.0.is_closed()
    }
}

/// A client's way to the server, as a tower service: what `kube::Client::new` takes.
///
/// A wire that is cut carries nothing more: the tasks of a process that has crashed live on for a while, but nothing that they do has any effect.
#[derive(Clone, Debug)]
pub struct Wire {
    id: ConnectionId,
    letters: mpsc::Sender<Letter>,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    /// Nothing goes through from now on, and nobody is told.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    async fn send<B>(self, request: Request<B>) -> Result<Response<WireBody>, BoxError>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let Some(body) = whole(body).await? else {
            let refusal = to_bytes(&ApiError::too_large(BODY_LIMIT).to_status());
            let response = Response::builder().status(413).header(CONTENT_TYPE, "application/json");
            return Ok(response.body(WireBody::Whole(refusal))?);
        };
        if self.is_cut.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let (reply, answer) = oneshot::channel();
        let letter = Letter { from: self.id, request: Request::from_parts(head, body), reply };
        self.letters.send(letter).await.map_err(|_| Broken)?;
        match answer.await {
            Ok(Reply::Response(response)) => Ok(response.map(WireBody::Whole)),
            Ok(Reply::Watch(lines)) => {
                let response = Response::builder().header(CONTENT_TYPE, "application/json");
                Ok(response.body(WireBody::Lines(lines))?)
            }
            Ok(Reply::Broken) | Err(_) => Err(Broken.into()),
        }
    }
}

/// All of a body; nothing if it is too long.
async fn whole<B>(body: B) -> Result<Option<Bytes>, BoxError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut len) = (Vec::new(), 0_usize);
    while len <= EXCESS_BYTES_MAX
        && let Some(frame) = body.frame().await
    {
        let Ok(mut data) = frame.map_err(Into::into)?.into_data() else { continue };
        len += data.remaining();
        if len <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    Ok((len <= BODY_BYTES_MAX).then(|| bytes.into()))
}

/// The connection to the server broke; nobody knows whether the request had its effect.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("connection reset by peer")]
struct Broken;

impl<B> Service<Request<B>> for Wire
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<WireBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum WireBody {
    /// All of it.
    Whole(Bytes),
    /// A watch: one event in each frame, for as long as it goes on.
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Lines(lines) => {
                let line = ready!(lines.poll_recv(context));
                Poll::Ready(line.map(|line| Ok(Frame::data(line))))
            }
        }
    }
}
