//! The story: a night without signal, a morning with it, a chief's two decisions, and what others may not. Each act is a file
//! and each step of it says in one line what was seen that proves it.

use crate::{
    brought::Brought,
    decisions, dossier, limits, morning, night,
    stage::{Failed, Hand, Stage, short, until},
};
use serde_json::json;

/// What An's observation says.
pub const OF_AN: &str = "Lấn chiếm lòng đường, đã nhắc nhở";
/// What Hà's says.
pub const OF_HA: &str = "Nhắc hộ kinh doanh thu dọn biển quảng cáo";

/// The patrol that the story is about.
pub struct Patrol {
    /// Its document.
    pub id: String,
    /// An's observation in it.
    pub observation: String,
    /// SHA-256 of the photo on it.
    pub photo: String,
}

impl Patrol {
    /// Its page on the server.
    pub fn page(&self) -> String {
        format!("/patrols/{}", self.id)
    }
}

/// Tells it from beginning to end; the patrol's page.
pub async fn tell(stage: &Stage, brought: &Brought) -> Result<String, Failed> {
    let (mut an, mut ha) = opening(stage).await?;
    let patrol = night::tell(stage, brought, &mut an, &mut ha).await?;
    let teller = stage.teller.clone();
    morning::tell(&teller, &patrol, &mut an, &mut ha).await?;
    morning::clash(&teller, &patrol, &mut an, &mut ha).await?;
    decisions::tell(stage, &patrol, &mut an).await?;
    limits::others(stage, &patrol).await?;
    limits::evidence(&teller, &mut an, &mut ha).await?;
    limits::revoked(stage, &patrol, &mut ha).await?;
    dossier::tell(stage, &patrol.id).await?;
    Ok(patrol.page())
}

/// The server is up and two phones are enrolled.
async fn opening(stage: &Stage) -> Result<(Hand, Hand), Failed> {
    let url = stage.server.ward.url.clone();
    let ready = until("the server is ready", async || {
        let answer = reqwest::get(format!("{url}/readyz")).await;
        Ok(answer.ok().filter(|answer| answer.status().is_success()))
    })
    .await?;
    let proof = format!(
        "{url}/readyz: {}, {} người · people",
        ready.status(),
        stage.server.ward.people.len()
    );
    stage.teller.shown(&proof).await;

    stage.teller.begin(
        "An và Hà đăng ký thiết bị bằng mã dùng một lần",
        "An and Hà enrol their phones by one-time codes",
    );
    let (mut an, mut ha) = (stage.phone("an").await?, stage.phone("ha").await?);
    let (of_an, of_ha) = tokio::try_join!(an.sync(), ha.sync())?;
    let proof = format!(
        "điện thoại · phones {} {}; nhận · received {} + {} thay đổi · changes",
        short(&json!(an.id)),
        short(&json!(ha.id)),
        of_an["received_changes"],
        of_ha["received_changes"]
    );
    stage.teller.shown(&proof).await;
    Ok((an, ha))
}
