//! The third act: the chief reads the patrol, returns it with a remark, and approves what was added. She decides about exactly
//! the heads that An's receipt names.

use crate::{
    stage::{Failed, Hand, Stage, Teller, list, must, text, until},
    story::{OF_AN, OF_HA, Patrol},
};
use kieumau_tests::desk::{Desk, seen_heads};
use reqwest::StatusCode;
use serde_json::json;

const REMARK: &str = "Bổ sung kết quả xử lý";
const ADDED: &str = "Đã kiểm tra lại: lòng đường thông thoáng";

/// Chi reads, returns with a remark, and approves what An added.
pub async fn tell(stage: &Stage, patrol: &Patrol, an: &mut Hand) -> Result<(), Failed> {
    let teller = &stage.teller;
    teller.begin(
        "Chi đọc ca trên trang, có ảnh",
        "Chi reads the patrol on her page, with the photo",
    );
    let chi = stage.desk("chi").await;
    let page = read(&stage.teller, &chi, patrol, an).await?;

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

/// Chi reads the patrol and looks at its photo; the page.
async fn read(
    teller: &Teller,
    chi: &Desk,
    patrol: &Patrol,
    an: &mut Hand,
) -> Result<String, Failed> {
    let page = page_of(chi, patrol, an, &[OF_AN, OF_HA]).await?;
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
    Ok(page)
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
