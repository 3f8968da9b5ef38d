//! A simulation with an API server above it, as what programs talk to.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use http::{Method, Request};
use towtank_model::simulation::{Application, Context, Controller, Simulation};
use towtank_model::time::Time;

use super::pump::Site;
use crate::{Answer, ApiServer, Caller, WatchId, WatchPoll};

/// An application with an API server in it.
pub trait Serves: Application {
    /// The server.
    fn api(&self) -> impl Deref<Target = ApiServer>;
    /// The server.
    fn api_mut(&mut self) -> impl DerefMut<Target = ApiServer>;
}

/// Rounds of one instant after which server and simulation must be going round in circles.
const ROUNDS_MAX: u32 = 100_000;

impl<C: Controller, A: Serves> Site for Simulation<C, A> {
    fn now(&self) -> Time {
        Self::now(self)
    }

    fn is_transparent(&self) -> bool {
        self.controller().is_transparent()
    }

    fn scheduled_time(&self) -> Option<Time> {
        let api = self.application().api().next_time(self.server());
        [Self::scheduled_time(self), api].into_iter().flatten().min()
    }

    fn next_time(&mut self, limit: Time) -> Option<Time> {
        let api = self.application().api().next_time(self.server()).filter(|at| *at <= limit);
        [Self::next_time(self, api.unwrap_or(limit)), api].into_iter().flatten().min()
    }

    fn run_until(&mut self, at: Time) -> Result<bool, String> {
        let mut has_happened = false;
        for _ in 0..ROUNDS_MAX {
            while self.step_instant(at).map_err(|error| error.to_string())?.is_some() {
                has_happened = true;
            }
            if self.application().api().next_time(self.server()).is_none_or(|next| next > at) {
                return Ok(has_happened);
            }
            has_happened = true;
            self.apply_to(|application, ctx| application.api_mut().fire(ctx.server, ctx.now));
        }
        Err(format!("the API server does not come to rest at {at}"))
    }

    fn handle(&mut self, caller: &Caller, request: Request<Bytes>) -> Answer {
        let is_read = request.method() == Method::GET;
        let ask = |application: &mut A, ctx: &mut Context<'_>| {
            application.api_mut().handle(ctx.server, ctx.now, caller, request)
        };
        if is_read { self.quietly(ask) } else { self.apply_to(ask) }
    }

    fn ready_watches(&mut self) -> Vec<WatchId> {
        self.quietly(|application, _| application.api_mut().take_ready())
    }

    fn poll_watch(&mut self, watch: WatchId) -> WatchPoll {
        self.quietly(|application, _| application.api_mut().poll_watch(watch))
    }

    fn close_watch(&mut self, watch: WatchId) {
        self.quietly(|application, _| application.api_mut().close_watch(watch));
    }
}
