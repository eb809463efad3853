//! P9: all phones of a ward come back at once, each signs in, brings what it has and gets its feed's next page; and the same while one
//! of them brings a great deal.

use super::{
    ours::{self, Ours},
    size::Size,
    table::{Measure, Target, ms, percentile, progress},
    template::Template,
};
use crate::driver::Driver;
use std::{path::Path, time::Instant};

/// Documents that each phone has on the server before.
const DOCUMENTS: usize = 50;

/// What one return of the crowd came to.
#[derive(Clone, Copy, Debug)]
struct Returned {
    median_ms: f64,
    p99_ms: f64,
    refused: f64,
}

/// Measures P9 with data below `folder`.
///
/// # Panics
/// When the server refuses what it took before.
pub async fn measure(folder: &Path, size: Size, small: &[Template]) -> Vec<Measure> {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let ours = Ours::start(folder.path(), None).await;
    let mut phones = Vec::with_capacity(size.phones);
    for _ in 0..size.phones {
        let phone = Driver::enrol(&ours.server, "an").await;
        ours::send(
            &phone,
            &ours::pushes(&phone, &ours.make(small, &phone, DOCUMENTS)),
        )
        .await;
        phones.push(phone);
    }
    let mut there = size.phones * DOCUMENTS;
    ours.until_read(there).await;
    let (mut calm, mut beside, mut laden) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=size.rounds {
        calm.push(come_back(&ours, &mut phones, small, 1).await);
        let heavy = ours::pushes(&ours.phone, &ours.make(small, &ours.phone, 10 * size.small));
        let bringing = ours::send(&ours.phone, &heavy);
        let (crowd, ()) = tokio::join!(come_back(&ours, &mut phones, small, 1), bringing);
        beside.push(crowd);
        laden.push(come_back(&ours, &mut phones, small, DOCUMENTS).await);
        there += size.phones * (2 + DOCUMENTS) + 10 * size.small;
        ours.until_read(there).await;
        progress(&format!("P9 round {round}"));
    }
    let of = |rounds: &[Returned], figure: &dyn Fn(&Returned) -> f64| -> Vec<f64> {
        rounds.iter().map(figure).collect()
    };
    let p99 = |returned: &Returned| returned.p99_ms;
    let what = format!(
        "{} phones with {DOCUMENTS} documents come back at once, p99",
        size.phones
    );
    let refused: Vec<f64> = [&calm, &beside, &laden]
        .into_iter()
        .flatten()
        .map(|r| r.refused)
        .collect();
    vec![
        Measure::alone("P9", &what, "ms", &of(&calm, &p99)).to_reach(Target::AtMost(2_000.0)),
        Measure::alone("P9", "  median", "ms", &of(&calm, &|r| r.median_ms)),
        Measure::alone("P9", "  refused, in all rounds", "", &refused)
            .to_reach(Target::AtMost(0.0)),
        Measure::alone(
            "P9",
            "p99 beside one that brings 10× small documents",
            "ms",
            &of(&beside, &p99),
        )
        .and("calm", &of(&calm, &p99))
        .to_reach(Target::RatioAtMost(1.5)),
        Measure::alone(
            "P9",
            "  p99 when each brings 50 new documents",
            "ms",
            &of(&laden, &p99),
        ),
    ]
}

/// Every phone signs in anew and pushes `documents` new ones with their receipts, all at the same moment.
async fn come_back(
    ours: &Ours,
    phones: &mut [Driver],
    small: &[Template],
    documents: usize,
) -> Returned {
    let coming = phones.iter_mut().map(|phone| {
        let ready = ours::pushes(phone, &ours.make(small, phone, documents));
        (phone, ready)
    });
    let coming: Vec<_> = coming.collect();
    let begun = Instant::now();
    let coming = coming.into_iter().map(async |(phone, ready)| {
        let mut refused = u32::from(!phone.sign_in().await);
        for push in ready {
            let (status, _) = phone.send(push.body).await;
            refused += u32::from(!status.is_success());
        }
        (ms(begun.elapsed()), refused)
    });
    let came = futures_util::future::join_all(coming).await;
    let times: Vec<f64> = came.iter().map(|(ms, _)| *ms).collect();
    Returned {
        median_ms: percentile(&times, 0.5),
        p99_ms: percentile(&times, 0.99),
        refused: came.iter().map(|(_, refused)| f64::from(*refused)).sum(),
    }
}
