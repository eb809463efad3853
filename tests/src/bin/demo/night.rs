//! The first act: a patrol from start to end without signal. An starts it, takes the track in and records; Hà joins by the QR.
//! The phones' clocks stand at the track's own times, so that the patrol is when the track was.

use crate::{
    brought::Brought,
    stage::{Failed, Hand, Stage, hour, list, must, short, text},
    story::{OF_AN, OF_HA, Patrol},
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The patrol, without signal from start to end.
pub async fn tell(
    stage: &Stage,
    brought: &Brought,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<Patrol, Failed> {
    let id = start(stage, brought, an, ha).await?;
    walk(stage, brought, an, &id).await?;
    let patrol = observe(stage, brought, an, &id).await?;
    killed(stage, an, &patrol).await?;
    join(stage, brought, &id, an, ha).await?;
    end(stage, brought, &id, an, ha).await?;
    Ok(patrol)
}

/// No signal, and An starts; the patrol's document.
async fn start(
    stage: &Stage,
    brought: &Brought,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<String, Failed> {
    let teller = &stage.teller;
    teller.begin("Mất sóng, An bắt đầu ca", "no signal, An starts a patrol");
    for hand in [&mut *an, &mut *ha] {
        hand.signal.set(false);
        // The patrol begins at the track's own first time, whenever that was.
        hand.set_clock(Some(brought.first_ms())).await?;
    }
    let title = format!("Ca mẫu {}, tổ An", stage.run);
    let id = text(&an.ask(json!({ "do": "start", "title": title })).await?["patrol"]).to_owned();
    let shown = an.must_show(&id, "Đã lưu trên máy").await?;
    let proof = format!(
        "\"{title}\" {}, {}: {}",
        short(&json!(id)),
        hour(brought.first_ms()),
        text(&shown["state"])
    );
    teller.shown(&proof).await;
    Ok(id)
}

/// Hà's phone joins by what An's shows, and she records too.
async fn join(
    stage: &Stage,
    brought: &Brought,
    id: &str,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<(), Failed> {
    let teller = &stage.teller;
    teller.begin(
        "Hà quét QR vào ca, vẫn không có sóng",
        "Hà joins by the QR, still without signal",
    );
    let view = an.ask(json!({ "do": "patrol", "patrol": id })).await?;
    ha.set_clock(brought.middle().map(|fix| fix.at_ms)).await?;
    let joined = ha
        .ask(json!({ "do": "join", "qr": view["join_qr"] }))
        .await?;
    must(joined["patrol"] == id, || {
        format!("Hà joined {joined}, not {id}")
    })?;
    let of_ha = ha
        .ask(json!({
            "do": "observe", "patrol": id, "category": "urban-order", "count": 2, "unit": "household", "note": OF_HA,
        }))
        .await?;
    ha.must_show(id, "Đã lưu trên máy").await?;
    teller
        .shown(&format!(
            "cùng ca · the same {}; vụ việc · observation {}",
            short(&json!(id)),
            text(&of_ha["observation"])
        ))
        .await;
    Ok(())
}

/// An ends the patrol; what was recorded waits for a signal.
async fn end(
    stage: &Stage,
    brought: &Brought,
    id: &str,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<(), Failed> {
    let teller = &stage.teller;
    teller.begin(
        "An kết thúc ca, gửi thử: không có sóng",
        "An ends the patrol and tries to send: no signal",
    );
    an.set_clock(Some(brought.last_ms())).await?;
    an.ask(json!({ "do": "end", "patrol": id })).await?;
    for hand in [&mut *an, &mut *ha] {
        hand.set_clock(None).await?;
        hand.refused(json!({ "do": "sync", "tries": 1 }), "offline")
            .await?;
    }
    let item = an.must_show(id, "Chờ gửi").await?;
    let proof = format!(
        "offline; {}: {} thay đổi · changes, {} tệp · files; kết thúc · ended {}",
        text(&item["state"]),
        item["unsent_changes"],
        item["unsent_attachments"],
        hour(brought.last_ms())
    );
    teller.shown(&proof).await;
    Ok(())
}

/// The track is taken into the patrol.
async fn walk(stage: &Stage, brought: &Brought, an: &mut Hand, patrol: &str) -> Result<(), Failed> {
    stage.teller.begin(
        "Nhập lộ trình (không rõ độ chính xác)",
        "the track is imported, its accuracy unknown",
    );
    let path = file(stage, "track.gpx", &brought.track)?;
    an.set_clock(None).await?;
    let import = an
        .ask(json!({ "do": "import", "patrol": patrol, "path": path }))
        .await?;
    must(import["kept"] == brought.fixes.len(), || {
        format!("{import}, not {} fixes", brought.fixes.len())
    })?;
    let track = an.ask(json!({ "do": "track", "patrol": patrol })).await?;
    let unknown = list(&track)
        .iter()
        .filter(|fix| fix["accuracy_dm"].is_null())
        .count();
    must(
        unknown
            == brought
                .fixes
                .iter()
                .filter(|fix| fix.accuracy_dm.is_none())
                .count(),
        || format!("{unknown} fixes of unknown accuracy"),
    )?;
    let view = an.ask(json!({ "do": "patrol", "patrol": patrol })).await?;
    must(
        view["started_at_ms"]
            .as_i64()
            .is_some_and(|at_ms| at_ms.abs_diff(brought.first_ms()) < 2_000),
        || {
            format!(
                "the patrol began at {}, the track at {}",
                view["started_at_ms"],
                brought.first_ms()
            )
        },
    )?;
    let proof = format!(
        "giữ · kept {}, bỏ · dropped {}, không rõ · unknown {unknown}, {:.2} km, {} – {}",
        import["kept"],
        import["dropped"],
        view["length_m"].as_f64().unwrap_or_default() / 1_000.0,
        hour(brought.first_ms()),
        hour(brought.last_ms())
    );
    stage.teller.shown(&proof).await;
    Ok(())
}

/// An observation in the middle of the track, with the picture.
async fn observe(
    stage: &Stage,
    brought: &Brought,
    an: &mut Hand,
    id: &str,
) -> Result<Patrol, Failed> {
    stage.teller.begin(
        "An ghi vụ việc giữa lộ trình, kèm ảnh",
        "An records an observation in the middle of the track, with a photo",
    );
    let middle = brought
        .middle()
        .ok_or_else(|| Failed::new("the track has no middle"))?;
    let place = [middle.position.lat(), middle.position.lon()];
    an.set_clock(Some(middle.at_ms)).await?;
    let recorded = an
        .ask(json!({
            "do": "observe", "patrol": id, "category": "urban-order", "count": 3, "unit": "case", "note": OF_AN,
            "place": place,
        }))
        .await?;
    let observation = text(&recorded["observation"]).to_owned();
    let path = file(stage, "photo", &brought.photo)?;
    let attached = an
        .ask(json!({ "do": "attach", "document": id, "item": observation, "path": path }))
        .await?;
    let proof = format!(
        "{observation} tại · at {:.5}, {:.5} lúc · {}; {} {} KB, SHA-256 {}",
        place[0],
        place[1],
        hour(middle.at_ms),
        text(&attached["is"]),
        brought.photo.len().div_ceil(1024),
        short(&attached["sha256"])
    );
    stage.teller.shown(&proof).await;
    let photo = text(&attached["sha256"]).to_owned();
    Ok(Patrol {
        id: id.to_owned(),
        observation,
        photo,
    })
}

/// What a phone shows of a patrol that it said to be saved: observations, track, and how many files wait.
async fn saved(an: &mut Hand, id: &str) -> Result<(Vec<Value>, Value, Value), Failed> {
    let item = an.must_show(id, "Đã lưu trên máy").await?;
    let track = an.ask(json!({ "do": "track", "patrol": id })).await?;
    let files = item["unsent_attachments"].clone();
    Ok((an.observations(id).await?, track, files))
}

/// The phone's process is killed the moment it said "saved"; started again, it shows all of it.
async fn killed(stage: &Stage, an: &mut Hand, patrol: &Patrol) -> Result<(), Failed> {
    stage.teller.begin(
        "Máy của An bị tắt đột ngột (SIGKILL) giữa ca, rồi mở lại",
        "An's phone is killed with SIGKILL in the middle of the patrol, and starts again",
    );
    let before = saved(an, &patrol.id).await?;
    an.killed_and_started().await;
    let after = saved(an, &patrol.id).await?;
    must(before == after, || {
        "the phone does not show what it said to be saved".to_owned()
    })?;
    let proof = format!(
        "còn nguyên · all there: {} vụ việc · observations, {} điểm · fixes, {} tệp · files: Đã lưu trên máy",
        after.0.len(),
        list(&after.1).len(),
        after.2
    );
    stage.teller.shown(&proof).await;
    Ok(())
}

/// A file for a phone to read, in the folder of this run.
fn file(stage: &Stage, name: &str, bytes: &[u8]) -> Result<PathBuf, Failed> {
    let folder = stage.data.join("brought").join(stage.run.to_string());
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path)
}
