//! A text as a QR: squares for a page, characters for a terminal. How much of it may be dirty is chosen once: a screen is clean, and
//! the text is long.

use qrcode::{Color, EcLevel, QrCode, render::unicode::Dense1x2, types::QrError};
use std::fmt::Write as _;

/// Modules of white around it.
const QUIET: usize = 4;
/// Black on white, whatever the terminal's own colours are: scanners read no white on black.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const AS_BEFORE: &str = "\x1b[0m";

fn code(text: &str) -> Result<QrCode, QrError> {
    QrCode::with_error_correction_level(text, EcLevel::M)
}

/// The path of its dark modules for an SVG, one unit each, and the length of a side.
///
/// # Errors
/// When the text is too long for any QR.
pub fn path(text: &str) -> Result<(String, usize), QrError> {
    let code = code(text)?;
    let width = code.width();
    let mut path = String::new();
    for (index, colour) in code.into_colors().into_iter().enumerate() {
        if colour == Color::Dark {
            let (x, y) = (index % width + QUIET, index / width + QUIET);
            // Writing to a text does not fail.
            let _ = write!(path, "M{x} {y}h1v1h-1z");
        }
    }
    Ok((path, width + 2 * QUIET))
}

/// Lines for a terminal: two modules in each character, one above the other.
///
/// # Errors
/// When the text is too long for any QR.
pub fn lines(text: &str) -> Result<String, QrError> {
    let picture = code(text)?.render::<Dense1x2>().build();
    let lines = picture.lines();
    let lines: Vec<String> = lines
        .map(|line| format!("{BLACK_ON_WHITE}{line}{AS_BEFORE}"))
        .collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kieumau:1?url=https://10.0.0.1&code";

    #[test]
    fn a_qr_has_white_around_it() {
        let (path, side) = path(TEXT).expect("it fits");
        assert!(path.starts_with("M4 4h1v1h-1z") && side >= 21 + 8);
        assert!(!path.contains("M0 ") && !path.contains(" 0h"));
    }

    #[test]
    fn a_terminal_shows_the_modules_that_a_page_shows() {
        let (path, side) = path(TEXT).expect("it fits");
        let shown = lines(TEXT).expect("it fits");
        let mut dark = Vec::new();
        for (row, line) in shown.lines().enumerate() {
            let line = line.strip_prefix(BLACK_ON_WHITE).expect("black on white");
            let line = line.strip_suffix(AS_BEFORE).expect("and no longer");
            assert_eq!(line.chars().count(), side);
            for (x, module) in line.chars().enumerate() {
                let above = matches!(module, '█' | '▀').then_some(2 * row);
                let below = matches!(module, '█' | '▄').then_some(2 * row + 1);
                dark.extend(above.into_iter().chain(below).map(|y| (y, x)));
            }
        }
        dark.sort_unstable();
        let drawn: Vec<String> = dark
            .iter()
            .map(|(y, x)| format!("M{x} {y}h1v1h-1z"))
            .collect();
        assert_eq!(drawn.concat(), path);
    }
}
