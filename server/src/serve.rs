//! The server itself: where it listens, what it routes, how it ends.

use crate::{
    app::{App, OpenError},
    attachment,
    command::failure::Failure,
    enrolment,
    gate::Gate,
    pages,
    problem::{Answer, Problem},
    rescue, sync, token,
};
use axum::{Json, Router, extract::State, routing};
use sqlx::Row as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Listens at `address`. Beyond loopback only behind a proxy that speaks TLS: nothing personal crosses a wire in the clear.
///
/// # Errors
/// What the system says; a sentence for an address that is refused.
pub async fn bind(address: SocketAddr, behind_proxy: bool) -> Result<TcpListener, OpenError> {
    if !address.ip().is_loopback() && !behind_proxy {
        return Err(beyond_loopback().into());
    }
    Ok(TcpListener::bind(address).await?)
}

fn beyond_loopback() -> Failure {
    Failure::new(
        (
            "Chỉ nghe ngoài máy này khi phía trước có TLS: không dữ liệu nào đi qua mạng mà không mã hóa.",
            "Beyond this machine it listens only with TLS in front: nothing crosses a network in the clear.",
        ),
        (
            "Đặt proxy có TLS phía trước rồi thêm --behind-proxy và --public-url, hoặc nghe ở 127.0.0.1.",
            "Put a proxy with TLS in front and add --behind-proxy and --public-url, or listen on 127.0.0.1.",
        ),
    )
}

/// The address that `listener` has.
///
/// # Errors
/// What the system says.
pub fn url_of(listener: &TcpListener) -> Result<String, OpenError> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Everything the server answers.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(sync::router())
        .merge(enrolment::router())
        .merge(token::router())
        .merge(attachment::router())
        .merge(rescue::router())
        .route("/healthz", routing::get(async || "ok"))
        .route("/readyz", routing::get(ready))
        .route("/version", routing::get(version))
        .merge(pages::router())
        .with_state(app)
}

/// Serves until Ctrl-C or SIGTERM; what is under way is finished.
///
/// # Errors
/// What the system or the database says.
pub async fn serve(app: App, listener: TcpListener) -> Result<(), OpenError> {
    announce(&app).await?;
    app.start();
    axum::serve(Gate::open(listener)?, router(app))
        .with_graceful_shutdown(ended())
        .await?;
    Ok(())
}

/// Writes down where this server is reached, for commands that make invitations.
async fn announce(app: &App) -> Result<(), sqlx::Error> {
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "insert into setting (name, value) values ('public-url', $1) on conflict (name) do update set value = excluded.value",
    )
    .bind(&app.config.public_url)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Where the server of this database was last reached.
///
/// # Errors
/// What the database says.
pub async fn announced_url(app: &App) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query("select value from setting where name = 'public-url'")
        .fetch_optional(&app.database.read)
        .await?;
    Ok(row.map(|row| row.get(0)))
}

async fn ended() {
    let ctrl_c = tokio::signal::ctrl_c();
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        // Without the one signal there is still the other.
        let _ = ctrl_c.await;
        return;
    };
    tokio::select! {
        _ = ctrl_c => {}
        _ = term.recv() => {}
    }
}

/// With less room than this the server is not ready: four of the largest pushes.
const ROOM_BYTES: u64 = 32 << 20;

/// Ready when the database answers and there is room for what phones bring.
async fn ready(State(app): State<App>) -> Answer<&'static str> {
    sqlx::query("select 1")
        .fetch_one(&app.database.read)
        .await
        .map_err(|_| Problem::busy(2))?;
    let disk = rustix::fs::statvfs(&app.config.data)
        .map_err(|error| Problem::internal(std::io::Error::from(error)))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_BYTES {
        return Err(Problem::storage_full());
    }
    Ok("ready")
}

/// Which server this is.
async fn version() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "name": "kieumau", "version": env!("CARGO_PKG_VERSION") }))
}
