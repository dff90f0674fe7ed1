//! Calls over a link within this process, as many as the argument says, for tools that count instructions.

#[path = "../benches/echo/mod.rs"]
mod echo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let calls: u64 = arguments.next().ok_or("say how many calls")?.parse()?;
    let wanted = arguments.next().unwrap_or_else(|| "ring".to_owned());
    let joined = echo::TRANSPORTS.iter().find(|(name, _)| *name == wanted);
    let (_, pair) = joined.ok_or_else(|| format!("no transport is called {wanted}"))?;
    let world = echo::World::over(*pair)?;
    world.sleep_at_once();
    for x in 0..calls {
        assert_eq!(world.call(x)?, x);
    }
    world.end();
    Ok(())
}
