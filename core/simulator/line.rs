//! The line: what becomes of a message, drawn from the seed, the phone and the number of its request.

use crate::{draw::Draw, script::Weather, session::Reply};

/// How long a phone waits for an answer, milliseconds.
pub const PATIENCE: u64 = 30_000;

/// When a message arrives, after so many milliseconds: not at all, once, or twice.
pub fn way(seed: u64, weather: Weather, (phone, request): (usize, u64)) -> Vec<u64> {
    let mut draw = Draw::at(seed, "there", [phone as u64, request]);
    let mut arrivals = Vec::new();
    if !draw.chance(weather.lost) {
        arrivals.push(delay(&mut draw, weather));
    }
    if draw.chance(weather.twice) {
        arrivals.push(draw.within(10, 90_000));
    }
    arrivals
}

/// When an answer arrives, and what is left of it; none if it is lost.
pub fn back(
    seed: u64,
    weather: Weather,
    (phone, request): (usize, u64),
    reply: Reply,
) -> Option<(u64, Reply)> {
    let mut draw = Draw::at(seed, "back", [phone as u64, request]);
    if draw.chance(weather.lost) {
        return None;
    }
    let late = delay(&mut draw, weather);
    let reply = match reply {
        Reply::Bytes(mut bytes) if draw.chance(weather.cut) => {
            let left = draw.below(bytes.len() as u64);
            bytes.truncate(usize::try_from(left).unwrap_or(0));
            Reply::Bytes(bytes)
        }
        reply => reply,
    };
    Some((late, reply))
}

fn delay(draw: &mut Draw, weather: Weather) -> u64 {
    if draw.chance(weather.late) {
        draw.within(5_000, 60_000)
    } else {
        draw.within(5, 300)
    }
}
