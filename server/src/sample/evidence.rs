//! The sample's evidence: a few criteria of the current period, some with all that is asked for and some without.

use super::author::{Draft, SamplePhone};
use crate::{app::OpenError, intake::PreparedPush};
use kieumau_core::{
    criterion::CriterionNumber,
    document::Key,
    evidence::{EvidenceFile, NewEvidence},
    id::UnitId,
    period::{Period, day_of},
};

const DAY_MS: i64 = 24 * 3_600_000;

/// Criterion, evidence kind, summary, and the document's number for official ones.
const FILED: [(u8, &str, &str, Option<&str>); 6] = [
    (
        1,
        "resolution",
        "Nghị quyết về bảo đảm an ninh, trật tự năm 2026",
        Some("03-NQ/ĐU"),
    ),
    (
        1,
        "plan",
        "Kế hoạch xây dựng Công an phường điển hình, kiểu mẫu",
        Some("12/KH-CAP"),
    ),
    (5, "photo", "Trụ sở sau khi sửa chữa", None),
    (15, "plan", "Kế hoạch tuần tra quý IV", Some("41/KH-CAP")),
    (
        20,
        "photo",
        "Vỉa hè đường Lê Lợi sau khi lập lại trật tự",
        None,
    ),
    (
        21,
        "report",
        "Kết quả ra quân vệ sinh môi trường",
        Some("87/BC-CAP"),
    ),
];

/// One push per criterion.
pub(super) fn write(
    unit: UnitId,
    phones: &[SamplePhone],
    now_ms: i64,
) -> Result<Vec<PreparedPush>, OpenError> {
    let period = Period::of_programme(day_of(now_ms));
    let mut pushes = Vec::new();
    for (at, criterion) in (0_u64..).zip([1, 5, 15, 20, 21]) {
        let phone = &phones[usize::try_from(at)? % phones.len()];
        let key = Key::evidence(unit, CriterionNumber::new(criterion)?, &period);
        let mut draft = Draft::new(phone, key, (1 << 32) + at);
        for (_, kind, summary, number) in FILED.iter().filter(|filed| filed.0 == criterion) {
            let official = |text: &str| number.map(|_| text.to_owned());
            let new = NewEvidence {
                evidence_kind: (*kind).to_owned(),
                summary: (*summary).to_owned(),
                document_number: number.map(str::to_owned),
                issued_on: official("2026-01-15"),
                issued_by: official("Công an phường Trường Vinh"),
                signed_by: official("Trưởng Công an phường"),
                ..NewEvidence::default()
            };
            draft.write(now_ms - DAY_MS, |file: &mut EvidenceFile, stamp| {
                file.file(stamp, new)
            })?;
        }
        pushes.push(draft.push()?);
    }
    Ok(pushes)
}
