//! Shrinking: a script that fails is made smaller while it fails in the same way, so that a person can read what happens in it.

use crate::{
    guard::{Broken, Guard},
    script::{Script, Weather},
    trial::tried,
};

/// Worlds that are run at most to make one smaller.
const TRIES: usize = 600;

/// The smallest script found that breaks the same as `script` does.
pub fn shrunk(script: &Script, off: Option<Guard>, broken: Broken) -> Script {
    let mut shrinking = Shrinking {
        best: script.clone(),
        off,
        broken,
        tries: TRIES,
    };
    shrinking.weather();
    // What depends on what was left out may be left out in the next pass.
    let mut before = usize::MAX;
    while shrinking.best.events.len() < before {
        before = shrinking.best.events.len();
        shrinking.events();
    }
    shrinking.phones();
    shrinking.time();
    shrinking.best
}

struct Shrinking {
    best: Script,
    off: Option<Guard>,
    broken: Broken,
    tries: usize,
}

impl Shrinking {
    /// Keeps `script` if it breaks the same.
    fn keeps(&mut self, script: Script) -> bool {
        if self.tries == 0 {
            return false;
        }
        self.tries -= 1;
        let violation = tried(&script, self.off).violation;
        let same = violation.is_some_and(|violation| violation.broken == self.broken);
        if same {
            self.best = script;
        }
        same
    }

    /// A better line.
    fn weather(&mut self) {
        let calmer: [fn(&mut Weather); 5] = [
            |weather| *weather = Weather::default(),
            |weather| weather.lost = 0,
            |weather| weather.twice = 0,
            |weather| weather.late = 0,
            |weather| weather.cut = 0,
        ];
        for calm in calmer {
            let mut script = self.best.clone();
            calm(&mut script.weather);
            if script != self.best {
                self.keeps(script);
            }
        }
    }

    /// Fewer events: halves, then quarters, down to single ones.
    fn events(&mut self) {
        let mut size = self.best.events.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < self.best.events.len() {
                let mut script = self.best.clone();
                let end = (at + size).min(script.events.len());
                script.events.drain(at..end);
                if !self.keeps(script) {
                    at += size;
                }
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    /// Fewer phones.
    fn phones(&mut self) {
        for phones in 1..self.best.phones {
            let mut script = self.best.clone();
            script.phones = phones;
            if self.keeps(script) {
                return;
            }
        }
    }

    /// A shorter story.
    fn time(&mut self) {
        let mut script = self.best.clone();
        script.heals_at = script.events.last().map_or(0, |event| event.at + 1);
        self.keeps(script);
    }
}
