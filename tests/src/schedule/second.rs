//! A second power device of the first host: what it is, and what goes wrong with both.

use super::{
    draw::pick,
    plan::{Fault, HOSTS, Job, Plan, Weather},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use simulator::{Lie, World};

/// What the first host has beside its BMC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Second {
    /// Nothing.
    #[default]
    None,
    /// Another BMC.
    Bmc,
    /// Two outlets that it is plugged into.
    Outlets,
}

impl Second {
    /// Addresses of the devices.
    pub fn addresses(self) -> &'static [&'static str] {
        match self {
            Second::None => &[],
            Second::Bmc => &["a.bmc2"],
            Second::Outlets => &["a.outlet1", "a.outlet2"],
        }
    }

    /// Their type, as a PowerDevice has it.
    pub fn device_type(self) -> &'static str {
        if self == Second::Outlets { "PDU" } else { "BMC" }
    }

    /// Puts them into the world.
    pub fn plug_in(self, world: &mut World) {
        for name in self.addresses().iter().filter_map(|a| a.split_once('.')).map(|(_, name)| name) {
            match self {
                Second::Outlets => world.add_outlet(HOSTS[0], name),
                _ => world.add_bmc(HOSTS[0], name),
            }
        }
    }
}

/// Gives the first host a second device in some schedules, and lets the first or the second one fail it. Dice of their own:
/// whatever else is drawn for a seed stays as it is.
pub fn draw(plan: &mut Plan) {
    let mut rng = StdRng::seed_from_u64(plan.seed ^ 0x2d_ec1d_ed00);
    // Of whom a person says that it is dead, nobody else may be able to tell.
    if plan.parts[0].job == Job::Burnt || rng.random_range(0..5) > 1 {
        return;
    }
    plan.second = pick(&mut rng, &[Second::Bmc, Second::Outlets]);
    for _ in 0..pick(&mut rng, &[0, 1, 1, 2]) {
        let (at, seconds) = (rng.random_range(1..160), rng.random_range(30..300));
        let second = pick(&mut rng, plan.second.addresses());
        let weather = match rng.random_range(0..6) {
            0..2 => Weather::Lie { host: HOSTS[0], lie: Lie::NoEffect, seconds },
            2..4 => Weather::Bmc { host: HOSTS[0], seconds },
            4 => Weather::Bmc { host: second, seconds },
            _ => Weather::Lie { host: second, lie: Lie::NoEffect, seconds },
        };
        plan.faults.push(Fault::Weather { at, weather });
    }
}
