//! `ottla connect-standalone`: Kafka's `connect-standalone.sh` with the file connectors built in. Takes its files as they are and
//! ends with its exit codes: 2 if the worker can't start, 3 if a connector can't.

mod samples;
mod standard;

use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ottla_connect::config::{WorkerConfig, parse_connector, parse_properties};
use ottla_connect::offsets::FileOffsetStore;
use ottla_connect::{Services, Status, Worker};
use ottla_io::Env;

use crate::connect::Interrupt;
use crate::{connect, context};

/// Options.
#[derive(clap::Args)]
pub struct Args {
    /// The worker's properties, such as Kafka's config/connect-standalone.properties.
    worker: Option<PathBuf>,
    /// A connector each, as properties or JSON.
    connectors: Vec<PathBuf>,
    /// Write a sample of each file into a directory, and end.
    #[arg(long, value_name = "DIR", conflicts_with = "worker")]
    print_samples: Option<PathBuf>,
}

/// What went wrong, and the exit code that tells it.
struct Failure(u8, String);

/// Runs the connectors until a signal comes.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    if let Some(dir) = &args.print_samples {
        return context::run(async |env| samples::write(env, dir).await).map(|()| ExitCode::SUCCESS);
    }
    let Some(worker) = &args.worker else {
        return Err(
            "USAGE: ottla connect-standalone worker.properties [connector1.properties connector2.json ...]; samples of these \
             files: ottla connect-standalone --print-samples DIR"
                .into(),
        );
    };
    connect::run(
        async |env, interrupt| match serve(env, interrupt, worker, &args.connectors).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Failure(code, error)) => {
                error.lines().for_each(|line| eprintln!("ottla: {line}"));
                Ok(ExitCode::from(code))
            }
        },
    )
}

async fn serve(
    env: &Env,
    interrupt: &mut Interrupt,
    worker_file: &Path,
    connectors: &[PathBuf],
) -> Result<(), Failure> {
    let services = Services {
        env: env.clone(),
        standard: Arc::new(standard::Standard::new(env)),
    };
    let started = interrupt.or(start(services, worker_file)).await;
    let Some(started) = started else {
        return Ok(());
    };
    let mut worker = started.map_err(|e| Failure(2, e))?;
    for file in connectors {
        if let Err(error) = add(env, &mut worker, file).await {
            tracing::error!("Stopping after connector error");
            worker.stop().await;
            return Err(Failure(3, error));
        }
    }
    tracing::info!("Kafka Connect started");
    interrupt.or(pending::<()>()).await;
    tracing::info!("Kafka Connect stopping");
    for task in worker.status() {
        if let Status::Failed(reason) = task.status {
            tracing::warn!(task = %task.id, reason, "this task had failed before");
        }
    }
    worker.stop().await;
    tracing::info!("Kafka Connect stopped");
    Ok(())
}

async fn start(services: Services, file: &Path) -> Result<Worker, String> {
    let env = services.env.clone();
    let named = |e: String| {
        e.lines()
            .map(|line| format!("{}: {line}\n", file.display()))
            .collect::<String>()
    };
    // An empty name is an empty file, as in Kafka.
    let bytes = match file.as_os_str().is_empty() {
        true => Default::default(),
        false => context::read(&env, file)
            .await
            .map_err(|e| format!("the worker's file: {e}"))?,
    };
    let props = parse_properties(&bytes).map_err(|e| named(e.to_string()))?;
    let config = WorkerConfig::parse(&props).map_err(|e| named(e.to_string()))?;
    let store = FileOffsetStore::open(&env, &config.offset_file).await;
    let store = Arc::new(store.map_err(|e| named(e.to_string()))?);
    let (worker, cluster) = Worker::start(services, config, store).await.map_err(named)?;
    tracing::info!("Kafka cluster ID: {cluster}");
    Ok(worker)
}

async fn add(env: &Env, worker: &mut Worker, file: &Path) -> Result<(), String> {
    let named = |e: String| format!("{}: {e}", file.display());
    let bytes = context::read(env, file)
        .await
        .map_err(|e| format!("the connector's file: {e}"))?;
    let connector = parse_connector(&bytes).map_err(|e| named(e.to_string()))?;
    worker.start_connector(&connector).map_err(named)?;
    tracing::info!("Created connector {}", connector.name);
    Ok(())
}
