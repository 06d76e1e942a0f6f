//! The GraphQL server, on a runtime of its own: consumes a listener and what it answers from, and
//! guarantees that queries, however heavy, take nothing from payments.

use std::io;

use millrace_sinks::{
    GraphqlConfig,
    graphql::{self, Services},
};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{PipelineError, flatten, turned_true};

/// The GraphQL server. It has a thread of its own at the lowest priority: queries, however heavy,
/// take nothing from payments.
pub(super) struct Reads {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    /// What answers from now on.
    pub(super) services: watch::Sender<Services>,
    server: JoinHandle<io::Result<()>>,
}

impl Reads {
    pub(super) fn serve(
        services: Services,
        settings: &GraphqlConfig,
        listener: TcpListener,
    ) -> Result<Self, PipelineError> {
        let failed =
            |error: io::Error| PipelineError::Server { what: "GraphQL", reason: error.to_string() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("graphql")
            .on_thread_start(millrace_sinks::yield_to_payments)
            .enable_all()
            .build()
            .map_err(failed)?;
        // A listener belongs to the runtime that it was made on.
        let listener = listener.into_std().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let (services, newest) = watch::channel(services);
        let server = runtime.spawn(serve_each(listener, newest, settings.clone(), stopped));
        Ok(Self { runtime, stop, services, server })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.server.is_finished()
    }

    pub(super) async fn stop(self) -> Result<(), String> {
        self.stop.send_replace(true);
        let served = flatten(self.server.await);
        self.runtime.shutdown_background();
        served.and_then(|served| served.map_err(|error| error.to_string()))
    }
}

/// Answers from the newest services. When there are newer ones, a server for them begins at once, and
/// the one before it finishes what it has in hand; both listen to the same socket.
async fn serve_each(
    listener: std::net::TcpListener,
    mut newest: watch::Receiver<Services>,
    settings: GraphqlConfig,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut serving = JoinSet::new();
    loop {
        let services = newest.borrow_and_update().clone();
        let shared = TcpListener::from_std(listener.try_clone()?)?;
        let (mut newer, until) = (newest.clone(), stopped.clone());
        let ended = async move {
            tokio::select! {
                Ok(()) = newer.changed() => {}
                () = turned_true(until) => {}
            }
        };
        let settings = settings.clone();
        serving.spawn(async move { graphql::serve(shared, services, &settings, ended).await });
        loop {
            tokio::select! {
                // First: the server that ends because of it must not look like the last one.
                biased;
                Ok(()) = newest.changed() => break,
                ended = serving.join_next() => match ended {
                    Some(ended) => ended.map_err(io::Error::other)??,
                    None => return Ok(()),
                },
            }
        }
    }
}
