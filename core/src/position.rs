//! Where and when a phone was: a position in units of 1e-7 degree (about one centimetre), and a fix.
//!
//! Integers, because two phones must write the same bytes for the same place, and because deltas of integers pack.

use crate::invalid::{Invalid, Rule};
use serde::{Deserialize, Serialize};

/// The years a time must lie in to be believed: 2000 up to 2100 (Unix milliseconds, start included, end not).
pub const BELIEVABLE_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// A place on the Earth (WGS 84).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Latitude, 1e-7 degree.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degree.
    pub lon_e7: i32,
}

// An officer's place is never printed by accident: `Debug` ends up in logs.
impl std::fmt::Debug for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Position(…)")
    }
}

impl Position {
    /// From degrees.
    ///
    /// # Errors
    /// `OffTheMap` for what is not a number, off the Earth, or exactly 0,0 (what receivers say before they know).
    pub fn from_degrees(lat: f64, lon: f64) -> Result<Self, Invalid> {
        let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        if !on_earth || (lat == 0.0 && lon == 0.0) {
            return Err(Invalid::new("position", Rule::OffTheMap));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to lie within ±180e7, which an i32 holds"
        )]
        let e7 = |degrees: f64| (degrees * 1e7).round() as i32;
        Ok(Self {
            lat_e7: e7(lat),
            lon_e7: e7(lon),
        })
    }

    /// Whether it lies on the Earth.
    ///
    /// # Errors
    /// `OffTheMap`.
    pub fn check(self) -> Result<(), Invalid> {
        let on_earth =
            (-90.0..=90.0).contains(&self.lat()) && (-180.0..=180.0).contains(&self.lon());
        if on_earth {
            Ok(())
        } else {
            Err(Invalid::new("position", Rule::OffTheMap))
        }
    }

    /// Latitude in degrees.
    #[must_use]
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    /// Longitude in degrees.
    #[must_use]
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }

    /// Distance along the great circle to `other`, metres (haversine, mean Earth radius 6,371,008.8 m).
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let (a, b) = (self.lat().to_radians(), other.lat().to_radians());
        let (dlat, dlon) = (b - a, (other.lon() - self.lon()).to_radians());
        let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
        2.0 * 6_371_008.8 * h.sqrt().min(1.0).asin()
    }
}

/// One reading of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// When, by the satellites' clock: Unix milliseconds.
    pub at_ms: i64,
    /// Where.
    pub position: Position,
    /// How exact, decimetres (68 %); none = the source does not say (*accuracy unknown*).
    pub accuracy_dm: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_latitude_is_about_111_km() {
        let a = Position::from_degrees(18.0, 105.0).expect("on Earth");
        let b = Position::from_degrees(19.0, 105.0).expect("on Earth");
        assert!((a.distance_m(b) - 111_195.0).abs() < 10.0);
    }

    #[test]
    fn zero_zero_nan_and_a_latitude_of_91_are_off_the_map() {
        for (lat, lon) in [(0.0, 0.0), (f64::NAN, 105.0), (91.0, 105.0), (18.0, 181.0)] {
            assert_eq!(
                Position::from_degrees(lat, lon),
                Err(Invalid::new("position", Rule::OffTheMap))
            );
        }
    }

    #[test]
    fn a_place_is_not_printed() {
        let place = Position::from_degrees(18.6734, 105.6813).expect("on Earth");
        assert!(!format!("{place:?}").contains("18"));
    }
}
