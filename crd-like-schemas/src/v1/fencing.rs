//! How a host is switched off that has to be: in which order, and through which of its power devices.

use crate::{FieldError, Time, field::check_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum FenceStage {
    /// The operating system is asked to shut down, once, through the first link that can be used.
    Soft,
    /// Power is cut at once, through the first link that can be used.
    Hard,
    /// What a device did not show to be off in its time is cut through the next one: first the other BMCs, then all outlets.
    SecondDevice,
}

/// The order in which a host is switched off to prove it dead, and how long each device has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fencing {
    /// Stages, one after the other: Hard, perhaps Soft before it, perhaps SecondDevice after it.
    #[schemars(extend("x-list-type" = "atomic"))]
    #[schemars(length(min = 1), extend("uniqueItems" = true, "contains" = {"const": "Hard"}))]
    pub order: Vec<FenceStage>,
    /// How long the operating system has to shut down, in seconds; then power is cut.
    #[schemars(range(min = 5, max = 3_600))]
    pub soft_off_timeout_seconds: i64,
    /// How long each device has to read off, from the first command through it, or, if it cannot be read from the beginning,
    /// from then on, in seconds; then the next one is used.
    #[schemars(range(min = 15, max = 3_600))]
    pub hard_off_timeout_seconds: i64,
}

impl Default for Fencing {
    fn default() -> Self {
        Fencing { order: vec![FenceStage::Hard, FenceStage::SecondDevice], soft_off_timeout_seconds: 120, hard_off_timeout_seconds: 60 }
    }
}

impl Fencing {
    /// Whether the order has a stage.
    pub fn has(&self, stage: FenceStage) -> bool {
        self.order.contains(&stage)
    }

    /// What is wrong with it; `field` is its path.
    pub fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        if !self.has(FenceStage::Hard) || !self.order.is_sorted_by(|a, b| a < b) {
            let message = "must have Hard once; Soft may stand before it, SecondDevice after it, such as [Soft, Hard, SecondDevice]. Without a hard \
                           power-off nothing would ever end a host that does not heed a soft one.";
            errors.push(FieldError::invalid(format!("{field}.order"), message));
        }
        check_range(errors, &format!("{field}.softOffTimeoutSeconds"), self.soft_off_timeout_seconds, 5, 3_600);
        check_range(errors, &format!("{field}.hardOffTimeoutSeconds"), self.hard_off_timeout_seconds, 15, 3_600);
    }
}

/// What was begun with one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FenceAct {
    /// A soft power-off was sent.
    SoftOff,
    /// A hard power-off was sent; until the next link is used it is sent again.
    ForceOff,
    /// It could not be read, so nothing was sent; its time counts all the same.
    Unreadable,
}

/// One link that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FenceTry {
    /// Name of the PowerLink.
    pub link: String,
    /// What was begun with it.
    pub act: FenceAct,
    /// Since when, by the clock of the controller that led then.
    pub since: Time,
}

/// How far a fence has come, in one power epoch (S5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceProgress {
    /// The epoch; in another one it begins anew.
    pub epoch: i64,
    /// Links that were tried, in order.
    pub tried: Vec<FenceTry>,
    /// When there was no further device; the first one is tried on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
}

impl FenceProgress {
    /// Whether a command was sent, soft or hard.
    pub fn has_begun(&self) -> bool {
        self.tried.iter().any(|t| t.act != FenceAct::Unreadable)
    }
}

#[test]
fn an_order_has_a_hard_power_off_and_goes_from_soft_to_hard_to_the_second_device() {
    use FenceStage::*;
    for (order, fits) in [
        (vec![Hard], true),
        (vec![Soft, Hard], true),
        (vec![Hard, SecondDevice], true),
        (vec![Soft, Hard, SecondDevice], true),
        (vec![], false),
        (vec![Soft], false),
        (vec![Soft, SecondDevice], false),
        (vec![Hard, Soft], false),
        (vec![SecondDevice, Hard], false),
        (vec![Hard, Hard], false),
    ] {
        let mut errors = Vec::new();
        Fencing { order: order.clone(), ..Fencing::default() }.check("spec.fencing", &mut errors);
        assert_eq!(errors.is_empty(), fits, "{order:?}: {errors:?}");
        assert!(errors.iter().all(|e| e.field == "spec.fencing.order" && e.message.contains("Hard")), "{errors:?}");
    }
}

#[test]
fn times_of_a_fence_have_a_range_that_is_named() {
    let mut errors = Vec::new();
    Fencing { soft_off_timeout_seconds: 4, hard_off_timeout_seconds: 3_601, ..Fencing::default() }.check("spec.fencing", &mut errors);
    let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["spec.fencing.softOffTimeoutSeconds", "spec.fencing.hardOffTimeoutSeconds"]);
}
