//! The attribute `plugin` in front of something else.

use flowloom_sdk::Plugin;

#[flowloom_sdk::plugin]
struct Count;

#[flowloom_sdk::plugin]
impl Count {}

#[flowloom_sdk::plugin(version = 1)]
impl Clone for Count {
    fn clone(&self) -> Self {
        Count
    }
}

struct Of<T>(T);

#[flowloom_sdk::plugin]
impl<T: Default> Plugin for Of<T> {
    const DESCRIPTION: &'static str = "Has a parameter.";

    fn open((): ()) -> Result<Self, String> {
        Ok(Of(T::default()))
    }

    fn init(&mut self, _: &(), _: &()) {}

    fn update(&mut self, (): &mut (), _: &(), _: &()) {}

    fn expire(&mut self, (): (), _: &()) {}
}

fn main() {}
