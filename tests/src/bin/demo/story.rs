//! The story: a night without signal, a morning with it, a chief's two decisions, and what others may not. Each act is a
//! function; each step of it says in one line what was seen that proves it.

use crate::{
    brought::Brought,
    dossier,
    stage::{Failed, Hand, Stage, Teller, hour, list, must, receipt_words, short, text, until},
};
use jiff::Timestamp;
use kieumau_tests::desk::{Desk, seen_heads};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::PathBuf;

const REMARK: &str = "Bổ sung kết quả xử lý";
const OF_AN: &str = "Lấn chiếm lòng đường, đã nhắc nhở";
const OF_HA: &str = "Nhắc hộ kinh doanh thu dọn biển quảng cáo";
const ADDED: &str = "Đã kiểm tra lại: lòng đường thông thoáng";

/// The patrol that the story is about.
struct Patrol {
    id: String,
    qr: String,
    observation: String,
    photo: String,
}

impl Patrol {
    fn page(&self) -> String {
        format!("/patrols/{}", self.id)
    }
}

/// Tells it from beginning to end; the patrol's page.
pub async fn tell(stage: &Stage, brought: &Brought) -> Result<String, Failed> {
    let (mut an, mut ha) = opening(stage).await?;
    let patrol = night(stage, brought, &mut an, &mut ha).await?;
    let teller = stage.teller.clone();
    morning(&teller, &patrol, &mut an, &mut ha).await?;
    clash(&teller, &patrol, &mut an, &mut ha).await?;
    decisions(stage, &patrol, &mut an).await?;
    others(stage, &patrol).await?;
    evidence(&teller, &mut an, &mut ha).await?;
    revoked(stage, &patrol, &mut ha).await?;
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
        "An và Hà ghi danh điện thoại bằng mã dùng một lần",
        "An and Hà enrol their phones by one-time codes",
    );
    let (mut an, mut ha) = (stage.phone("an").await?, stage.phone("ha").await?);
    let (of_an, of_ha) = (an.sync().await?, ha.sync().await?);
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

/// The patrol, without signal from start to end.
async fn night(
    stage: &Stage,
    brought: &Brought,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<Patrol, Failed> {
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

    walk(stage, brought, an, &id).await?;
    let mut patrol = observe(stage, brought, an, &id).await?;

    teller.begin(
        "Hà quét QR vào ca, vẫn không có sóng",
        "Hà joins by the QR, still without signal",
    );
    patrol.qr = text(&an.ask(json!({ "do": "patrol", "patrol": id })).await?["join_qr"]).to_owned();
    ha.set_clock(brought.middle().map(|fix| fix.at_ms)).await?;
    let joined = ha.ask(json!({ "do": "join", "qr": patrol.qr })).await?;
    must(joined["patrol"] == id, || {
        format!("Hà joined {joined}, not {id}")
    })?;
    let of_ha = ha
        .ask(json!({
            "do": "observe", "patrol": id, "category": "urban-order", "count": 2, "unit": "household", "note": OF_HA,
        }))
        .await?;
    ha.must_show(&id, "Đã lưu trên máy").await?;
    teller
        .shown(&format!(
            "cùng ca · the same {}; vụ việc · observation {}",
            short(&json!(id)),
            text(&of_ha["observation"])
        ))
        .await;

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
    let item = an.must_show(&id, "Chờ gửi").await?;
    let proof = format!(
        "offline; {}: {} thay đổi · changes, {} tệp · files; kết thúc · ended {}",
        text(&item["state"]),
        item["unsent_changes"],
        item["unsent_attachments"],
        hour(brought.last_ms())
    );
    teller.shown(&proof).await;
    Ok(patrol)
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
        qr: String::new(),
        observation,
        photo,
    })
}

/// A file for a phone to read, in the folder of this run.
fn file(stage: &Stage, name: &str, bytes: &[u8]) -> Result<PathBuf, Failed> {
    let folder = stage.data.join("brought").join(stage.run.to_string());
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// Signal: both send, both have both, and a receipt covers it.
async fn morning(
    teller: &Teller,
    patrol: &Patrol,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<(), Failed> {
    teller.begin(
        "Có sóng, hai máy gửi và nhận của nhau",
        "signal: both phones send, and get what the other wrote",
    );
    an.signal.set(true);
    ha.signal.set(true);
    let receipt = meet(patrol, an, ha).await?;
    must(
        list(&receipt["attachments"]).contains(&json!(patrol.photo)),
        || format!("the photo is not in {receipt}"),
    )?;
    let seen = an.observations(&patrol.id).await?;
    must(seen.len() == 2, || {
        format!("{} observations, not 2", seen.len())
    })?;
    let item = an.must_show(&patrol.id, "Đã gửi").await?;
    let proof = format!(
        "{}: {}; ảnh · photo {}; hai máy giống nhau · both phones alike",
        text(&item["state"]),
        receipt_words(&receipt),
        short(&json!(patrol.photo))
    );
    teller.shown(&proof).await;
    Ok(())
}

/// Syncs both until both hold a receipt for the same heads and say the same; that receipt.
async fn meet(patrol: &Patrol, an: &mut Hand, ha: &mut Hand) -> Result<Value, Failed> {
    until("both phones hold the same", async || {
        an.sync().await?;
        ha.sync().await?;
        let (of_an, of_ha) = (an.receipt(&patrol.id).await?, ha.receipt(&patrol.id).await?);
        let sent = an.item(&patrol.id).await?["state"] == "Đã gửi"
            && ha.item(&patrol.id).await?["state"] == "Đã gửi";
        let alike = an.observations(&patrol.id).await? == ha.observations(&patrol.id).await?;
        Ok((sent && alike && of_an["heads"] == of_ha["heads"]).then_some(of_an))
    })
    .await
}

/// Both change the same number without signal: both values are kept, and An picks.
async fn clash(
    teller: &Teller,
    patrol: &Patrol,
    an: &mut Hand,
    ha: &mut Hand,
) -> Result<(), Failed> {
    teller.begin(
        "Hai người sửa cùng một số khi mất sóng",
        "both change the same number without signal",
    );
    for (hand, count) in [(&mut *an, 5), (&mut *ha, 4)] {
        hand.signal.set(false);
        hand.ask(json!({
            "do": "edit", "patrol": patrol.id, "observation": patrol.observation, "category": "urban-order",
            "count": count, "unit": "case", "note": OF_AN,
        }))
        .await?;
        hand.signal.set(true);
    }
    meet(patrol, an, ha).await?;
    let ask = json!({ "do": "clash", "document": patrol.id });
    let (of_an, of_ha) = (an.ask(ask.clone()).await?, ha.ask(ask.clone()).await?);
    let count = list(&of_an)
        .iter()
        .find(|clash| text(&clash["path"]).ends_with("/count"))
        .cloned();
    let count = count.ok_or_else(|| Failed::new(format!("no clash of the count in {of_an}")))?;
    must(of_an == of_ha && list(&count["values"]).len() == 2, || {
        format!("An sees {of_an}, Hà {of_ha}")
    })?;
    teller
        .shown(&format!(
            "cả hai giá trị còn đó trên hai máy · both values are on both phones: {}",
            count["values"]
        ))
        .await;

    teller.begin("An chọn một giá trị", "An picks one");
    for clash in list(&of_an) {
        let path = text(&clash["path"]);
        let index = list(&clash["values"])
            .iter()
            .position(|value| text(value) == "5")
            .unwrap_or(0);
        an.ask(json!({ "do": "choose", "document": patrol.id, "path": path, "index": index }))
            .await?;
    }
    let receipt = meet(patrol, an, ha).await?;
    let left = ha.ask(ask).await?;
    let seen = ha.observations(&patrol.id).await?;
    let chosen = seen
        .iter()
        .find(|seen| seen["observation"] == patrol.observation);
    must(
        list(&left).is_empty() && chosen.is_some_and(|seen| seen["count"] == 5),
        || format!("Hà's phone: {left}, {seen:?}"),
    )?;
    teller
        .shown(&format!(
            "máy Hà cũng là · Hà's phone says 5 too; {}",
            receipt_words(&receipt)
        ))
        .await;
    Ok(())
}

/// Chi reads, returns with a remark, and approves what An added.
async fn decisions(stage: &Stage, patrol: &Patrol, an: &mut Hand) -> Result<(), Failed> {
    let teller = &stage.teller;
    teller.begin(
        "Chi đọc ca trên trang, có ảnh",
        "Chi reads the patrol on her page, with the photo",
    );
    let chi = stage.desk("chi").await;
    let page = page_of(&chi, patrol, an, &[OF_AN, OF_HA]).await?;
    let small = format!("/{}/thumbnail", patrol.photo);
    let photo = until(
        "the photo can be decoded and has a small picture; if not, take another PHOTO",
        async || {
            let (_, page) = chi.read(&patrol.page()).await;
            Ok(page
                .split('"')
                .find(|part| part.ends_with(&small))
                .map(str::to_owned))
        },
    )
    .await?;
    let (status, _) = chi.read(&photo).await;
    must(status == StatusCode::OK, || {
        format!("the small picture answers {status}")
    })?;
    teller
        .shown(&format!(
            "{} 200, {} KB; ảnh nhỏ · small picture {status}",
            patrol.page(),
            page.len().div_ceil(1024)
        ))
        .await;

    teller.begin("Chi trả lại kèm ý kiến", "Chi returns it with a remark");
    let decided = chi
        .decide(&patrol.page(), &patrol.id, "returned", REMARK)
        .await
        .status();
    must(decided.is_redirection(), || {
        format!("the decision was answered {decided}")
    })?;
    let item = an.sync_until(&patrol.id, "Bị trả lại").await?;
    must(item["remark"] == REMARK, || {
        format!("An's phone shows the remark {}", item["remark"])
    })?;
    let about = seen_heads(&page).chars().take(12).collect::<String>();
    teller
        .shown(&format!(
            "máy An · An's phone: {}, \"{REMARK}\"; về · about heads {about}",
            text(&item["state"])
        ))
        .await;

    teller.begin("An bổ sung, Chi duyệt", "An adds, Chi approves");
    an.ask(json!({
        "do": "observe", "patrol": patrol.id, "category": "urban-order", "count": 1, "unit": "case", "note": ADDED,
    }))
    .await?;
    an.sync_until(&patrol.id, "Đã gửi").await?;
    let page = page_of(&chi, patrol, an, &[ADDED]).await?;
    let decided = chi
        .decide(&patrol.page(), &patrol.id, "approved", "")
        .await
        .status();
    must(decided.is_redirection(), || {
        format!("the decision was answered {decided}")
    })?;
    let item = an.sync_until(&patrol.id, "Đã duyệt").await?;
    let about = seen_heads(&page).chars().take(12).collect::<String>();
    teller
        .shown(&format!(
            "máy An · An's phone: {}; về · about heads {about}",
            text(&item["state"])
        ))
        .await;
    Ok(())
}

/// Chi's page once it shows these notes and exactly the heads that An's receipt names.
async fn page_of(
    chi: &Desk,
    patrol: &Patrol,
    an: &mut Hand,
    notes: &[&str],
) -> Result<String, Failed> {
    let receipt = an.receipt(&patrol.id).await?;
    let heads: Vec<_> = list(&receipt["heads"]).iter().map(text).collect();
    until("the page shows what the receipt names", async || {
        let (status, page) = chi.read(&patrol.page()).await;
        let whole = status == StatusCode::OK
            && notes.iter().all(|note| page.contains(note))
            && page.contains("name=\"seen_heads\"")
            && heads.iter().all(|head| seen_heads(&page).contains(head));
        Ok(whole.then_some(page))
    })
    .await
}

/// Bình of the other ward does not even learn that there is such a patrol.
async fn others(stage: &Stage, patrol: &Patrol) -> Result<(), Failed> {
    stage.teller.begin(
        "Bình ở phường khác không đọc được",
        "Bình of another ward may not read it",
    );
    let (status, _) = stage.desk("binh").await.read(&patrol.page()).await;
    must(status == StatusCode::NOT_FOUND, || {
        format!("Bình was answered {status}")
    })?;
    stage
        .teller
        .shown(&format!("{}: {status}", patrol.page()))
        .await;
    Ok(())
}

/// The same evidence file born on two phones without signal is one file.
async fn evidence(teller: &Teller, an: &mut Hand, ha: &mut Hand) -> Result<(), Failed> {
    teller.begin(
        "Hồ sơ minh chứng sinh ra hai lần vẫn là một",
        "an evidence file born twice is one",
    );
    let day = Timestamp::now().strftime("%Y").to_string();
    let period = format!("{day}-01-01..{day}-12-31");
    let mut filed = Vec::new();
    for (hand, summary) in [
        (&mut *an, "Vỉa hè Lê Lợi"),
        (&mut *ha, "Vỉa hè Quang Trung"),
    ] {
        hand.signal.set(false);
        let answer = hand
            .ask(json!({ "do": "file_evidence", "criterion": 20, "period": period, "kind": "photo", "summary": summary }))
            .await?;
        hand.signal.set(true);
        filed.push(answer);
    }
    let document = &filed[0]["document"];
    must(*document == filed[1]["document"], || {
        format!("two files: {filed:?}")
    })?;
    let ask = json!({ "do": "evidence" });
    let pieces = until("both phones have both pieces", async || {
        an.sync().await?;
        ha.sync().await?;
        let (of_an, of_ha) = (an.ask(ask.clone()).await?, ha.ask(ask.clone()).await?);
        let find = |files: &Value| {
            list(files)
                .iter()
                .find(|file| file["document"] == *document)
                .cloned()
        };
        let (Some(of_an), Some(of_ha)) = (find(&of_an), find(&of_ha)) else {
            return Ok(None);
        };
        let both = filed
            .iter()
            .all(|filed| list(&of_an["pieces"]).contains(&filed["evidence"]));
        Ok((both && of_an["pieces"] == of_ha["pieces"]).then_some(of_an["pieces"].clone()))
    })
    .await?;
    let proof = format!(
        "hồ sơ · file {}, {} mục trên cả hai máy · pieces on both phones",
        short(document),
        list(&pieces).len()
    );
    teller.shown(&proof).await;
    Ok(())
}

/// Hà's phone is reported lost: it is refused, and what was recorded on it stays.
async fn revoked(stage: &Stage, patrol: &Patrol, ha: &mut Hand) -> Result<(), Failed> {
    stage.teller.begin(
        "Máy của Hà bị thu hồi: bị từ chối, dữ liệu vẫn còn",
        "Hà's phone is revoked: refused, and what it holds stays",
    );
    stage
        .server
        .command(&["phone", "revoke", "--phone", &ha.id])
        .await;
    let before = ha.observations(&patrol.id).await?.len();
    ha.ask(json!({
        "do": "observe", "patrol": patrol.id, "category": "other", "count": 1, "unit": "case", "note": "Sau khi thu hồi",
    }))
    .await?;
    let answer = ha
        .refused(json!({ "do": "sync", "tries": 1 }), "signed-out")
        .await?;
    must(answer["word"] == "phone-revoked", || {
        format!("refused with {answer}")
    })?;
    let after = ha.observations(&patrol.id).await?.len();
    must(after == before + 1, || {
        format!("{before} observations before, {after} after")
    })?;
    stage
        .teller
        .shown(&format!(
            "{}; {after} vụ việc còn trên máy · observations on the phone",
            text(&answer["word"])
        ))
        .await;
    Ok(())
}
