//! The second act: signal. Both phones send and get what the other wrote; what both changed is kept twice until somebody picks.

use crate::{
    stage::{Failed, Hand, Teller, list, must, receipt_words, short, text, until},
    story::{OF_AN, Patrol},
};
use serde_json::{Value, json};

/// Signal: both send, both have both, and a receipt covers it.
pub async fn tell(
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
pub async fn clash(
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
