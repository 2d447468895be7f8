//! The settings while the demonstration runs: there is no file of them, so that the page's password is
//! good for as long as that.

use crate::gateway::desk::{Clerk, DeskAnswer, DeskWork};

/// The clerk of a demonstration's settings.
pub struct DemoClerk(pub Box<dyn Clerk>);

impl Clerk for DemoClerk {
    fn work(&mut self, work: DeskWork) -> DeskAnswer {
        match work {
            DeskWork::SetPasswordHash { .. } => DeskAnswer::Document {
                status: 200,
                kind: "application/json",
                body: b"{}".to_vec(),
                changed: false,
            },
            other => self.0.work(other),
        }
    }
}
