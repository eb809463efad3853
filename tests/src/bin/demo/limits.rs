//! The last act: what others may not. Another ward's officer, a file born twice, a phone that was lost.

use crate::{
    stage::{Failed, Hand, Stage, Teller, list, must, short, text, until},
    story::Patrol,
};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Bình of the other ward does not even learn that there is such a patrol.
pub async fn others(stage: &Stage, patrol: &Patrol) -> Result<(), Failed> {
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
pub async fn evidence(teller: &Teller, an: &mut Hand, ha: &mut Hand) -> Result<(), Failed> {
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
pub async fn revoked(stage: &Stage, patrol: &Patrol, ha: &mut Hand) -> Result<(), Failed> {
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
