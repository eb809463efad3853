//! `kieumau checkpoint`: a unit's checkpoints (điểm chốt), which reach its phones with their next sync.

use super::{
    Data,
    failure::{Failure, Outcome, no_unit},
    remark, say,
};
use crate::{checkpoint, pages::language::Language, problem::Problem};
use clap::{Args, Subcommand};
use kieumau_core::{
    id::{CheckpointId, UnitId},
    position::Position,
};

#[derive(Subcommand)]
pub enum Checkpoint {
    /// Adds a checkpoint and publishes it. Prints its id.
    Add(Add),
    /// Lists a unit's checkpoints: id, latitude, longitude, name.
    List(OfUnit),
    /// Takes a checkpoint off the unit's phones. Visits to it stay, under its name.
    Remove {
        #[command(flatten)]
        of: OfUnit,
        /// The checkpoint's id.
        #[arg(long)]
        checkpoint: CheckpointId,
    },
}

#[derive(Args)]
pub struct OfUnit {
    #[command(flatten)]
    data: Data,
    /// The unit's id.
    #[arg(long)]
    unit: UnitId,
}

#[derive(Args)]
pub struct Add {
    #[command(flatten)]
    of: OfUnit,
    /// Its name.
    #[arg(long)]
    name: String,
    /// Latitude in degrees, `18.6734`.
    #[arg(long, allow_negative_numbers = true)]
    lat: f64,
    /// Longitude in degrees, `105.6813`.
    #[arg(long, allow_negative_numbers = true)]
    lon: f64,
    /// Another place of a name that one has already.
    #[arg(long)]
    again: bool,
}

impl Checkpoint {
    pub async fn run(self, language: Language) -> Outcome {
        match self {
            Self::Add(new) => new.run(language).await,
            Self::List(of) => list(of, language).await,
            Self::Remove { of, checkpoint: id } => remove(of, id, language).await,
        }
    }
}

impl Add {
    async fn run(self, language: Language) -> Outcome {
        let app = self.of.data.reopen().await?;
        let unit = self.of.unit;
        let there = checkpoint::list(&app, unit).await;
        let there = there.map_err(|problem| of_unit(problem, unit))?;
        let name = self.name.trim().to_lowercase();
        let same = there
            .iter()
            .find(|(_, one)| one.name.to_lowercase() == name);
        if let Some((id, one)) = same.filter(|_| !self.again) {
            return Err(twice(*id, &one.name));
        }
        super::unit::remark_end(&app, unit, language).await?;
        let place = Position::from_degrees(self.lat, self.lon).map_err(Problem::from)?;
        let added = checkpoint::add(&app, unit, &self.name, place).await;
        say(&added.map_err(|problem| of_unit(problem, unit))?.to_string())
    }
}

fn twice(id: CheckpointId, name: &str) -> Failure {
    Failure::new(
        (
            format!("Đơn vị này đã có điểm chốt “{name}”, mã {id}."),
            format!("This unit has a checkpoint “{name}” already, with the id {id}."),
        ),
        (
            "Không cần làm gì. Nếu thật sự là một nơi khác trùng tên, thêm --again.",
            "Nothing. If it really is another place of the same name, add --again.",
        ),
    )
}

async fn list(of: OfUnit, language: Language) -> Outcome {
    let app = of.data.reopen().await?;
    let found = checkpoint::list(&app, of.unit).await;
    let found = found.map_err(|problem| of_unit(problem, of.unit))?;
    if found.is_empty() {
        remark(language.pick(
            "Đơn vị này chưa có điểm chốt nào. Thêm bằng `kieumau checkpoint add`.",
            "This unit has no checkpoint yet. `kieumau checkpoint add` adds one.",
        ));
    }
    for (id, one) in found {
        let degrees = |e7: i32| f64::from(e7) / 1e7;
        let (lat, lon, name) = (degrees(one.lat_e7), degrees(one.lon_e7), one.name);
        say(&format!("{id}  {lat:.5}  {lon:.5}  {name}"))?;
    }
    Ok(())
}

async fn remove(of: OfUnit, id: CheckpointId, language: Language) -> Outcome {
    let app = of.data.reopen().await?;
    // Whose checkpoints are listed first: an unknown unit and an unknown checkpoint are two slips.
    let listed = checkpoint::list(&app, of.unit).await;
    listed.map_err(|problem| of_unit(problem, of.unit))?;
    let removed = checkpoint::remove(&app, of.unit, id).await;
    removed.map_err(|problem| match problem.word() {
        "not-found" => Failure::new(
            (
                format!("Đơn vị này không có điểm chốt mang mã {id}."),
                format!("This unit has no checkpoint with the id {id}."),
            ),
            (
                "Xem mã đúng bằng `kieumau checkpoint list --unit …`.",
                "`kieumau checkpoint list --unit …` shows the ids.",
            ),
        ),
        _ => problem.into(),
    })?;
    say(language.pick(
        "Đã gỡ: từ lần gửi nhận tới, các điện thoại không đưa điểm chốt này ra nữa; lượt đến đã ghi vẫn còn và giữ tên.",
        "Removed: phones offer it no more from their next sync; recorded visits stay, under its name.",
    ))
}

fn of_unit(problem: Problem, unit: UnitId) -> Failure {
    match problem.word() {
        "not-found" => no_unit(unit),
        _ => problem.into(),
    }
}
