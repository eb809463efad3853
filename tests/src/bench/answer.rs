//! P6: how long a durable answer to one change takes, beside one raw append and `fdatasync` of the same bytes on the same file
//! system; and how many changes a second 16 phones get answered, beside how often this disk can be waited for.
//!
//! Ours and raw take turns, one by one: whatever else the machine does in that minute, it does to both.

use super::{
    disk::RawFile,
    table::{Measure, Target, ms, percentile},
};
use crate::{driver::Driver, server::Server};
use std::{path::Path, time::Instant};

const ROUNDS: usize = 3;
const ANSWERS_PER_ROUND: usize = 224;
const CLIENTS: usize = 16;
const CHANGES_PER_CLIENT: usize = 64;
const RAW_APPENDS: usize = 256;

/// Measures both halves of P6 against a server whose data lies beside `folder`.
pub async fn measure(server: &Server, folder: &Path) -> Vec<Measure> {
    let mut drivers = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        drivers.push(Driver::enrol(server, "an").await);
    }
    let mut raw = RawFile::new(folder);
    vec![
        one_client(&drivers[0], &mut raw).await,
        many_clients(&drivers, &mut raw).await,
    ]
}

async fn one_client(driver: &Driver, raw: &mut RawFile) -> Measure {
    let (mut ours, mut raws) = (Vec::new(), Vec::new());
    for body in driver.prepare(16) {
        driver.push(body).await;
    }
    for _ in 0..ROUNDS {
        let (mut answers, mut appends) = (Vec::new(), Vec::new());
        for body in driver.prepare(ANSWERS_PER_ROUND) {
            let size_bytes = body.len();
            let begun = Instant::now();
            driver.push(body).await;
            answers.push(ms(begun.elapsed()));
            appends.push(ms(raw.append(size_bytes)));
        }
        ours.push(percentile(&answers, 0.5));
        raws.push(percentile(&appends, 0.5));
    }
    Measure::beside("P6", "durable answer, median", "ms", &ours, &raws)
        .to_reach(Target::RatioAtMost(4.0))
}

async fn many_clients(drivers: &[Driver], raw: &mut RawFile) -> Measure {
    let (mut ours, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let prepared: Vec<_> = drivers
            .iter()
            .map(|driver| (driver, driver.prepare(CHANGES_PER_CLIENT)))
            .collect();
        let size_bytes = prepared[0].1[0].len();
        let begun = Instant::now();
        let pushing = prepared.into_iter().map(async |(driver, bodies)| {
            for body in bodies {
                driver.push(body).await;
            }
        });
        futures_util::future::join_all(pushing).await;
        let changes = drivers.len() * CHANGES_PER_CLIENT;
        ours.push(changes as f64 / begun.elapsed().as_secs_f64());
        let waited: f64 = (0..RAW_APPENDS)
            .map(|_| raw.append(size_bytes).as_secs_f64())
            .sum();
        raws.push(RAW_APPENDS as f64 / waited);
    }
    Measure::beside("P6", "16 clients at once", "/s", &ours, &raws)
        .to_reach(Target::RatioAtLeast(0.7))
}
