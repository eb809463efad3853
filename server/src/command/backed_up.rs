//! `kieumau backed-up`: what the operator's backups hold, for the backup's own script. Asked before it runs, told after it succeeded.

use super::{
    Data,
    failure::{Failure, Outcome},
    say,
};
use crate::{app::OpenError, backed_up, ledger, problem::Problem};
use clap::Args;
use kieumau_core::invalid::{Invalid, Rule};

#[derive(Args)]
pub struct BackedUp {
    #[command(flatten)]
    data: Data,
    /// How many leaves of the log the backup holds: what this command printed before the backup ran. Without it, prints.
    #[arg(long)]
    through: Option<u64>,
}

impl BackedUp {
    pub async fn run(self) -> Outcome {
        let app = self.data.reopen().await?;
        let Some(through) = self.through else {
            let size = ledger::size(&app.database.read).await;
            let (epoch, size) = size.map_err(OpenError::from)?;
            say(&format!("log: epoch {epoch}, {size} leaves"))?;
            let announced = backed_up::announced(&app).await.map_err(OpenError::from)?;
            return say(&match announced {
                Some(said) => format!("backed up: epoch {}, below {}", said.epoch, said.through),
                None => "backed up: nothing announced".to_owned(),
            });
        };
        let said = backed_up::announce(&app, through).await.map_err(worded)?;
        say(&format!(
            "backed up: epoch {}, below {}",
            said.epoch, said.through
        ))
    }
}

fn worded(problem: Problem) -> Failure {
    let broken = |rule| problem.broken() == Some(&Invalid::new("through", rule));
    if broken(Rule::TooLarge) {
        return Failure::new(
            (
                "Nhật ký của máy chủ chưa dài đến thế.",
                "The server's log is not that long.",
            ),
            (
                "Lấy số mà `kieumau backed-up` in ra trước khi sao lưu.",
                "Take the number that `kieumau backed-up` printed before the backup ran.",
            ),
        );
    }
    if broken(Rule::OutOfOrder) {
        return Failure::new(
            (
                "Đã công bố một bản sao lưu mới hơn.",
                "A newer backup was announced already.",
            ),
            (
                "Điện thoại có thể đã bỏ bản sao theo số đó: giữ bản sao lưu ấy.",
                "Phones may have let copies go by that number: keep that backup.",
            ),
        );
    }
    problem.into()
}
