use super::*;
use crate::config::limits::EventTime;
use crate::config::run_context::RunContext;
use crate::error::CallStack;
use crate::load::plugin::tests::load;
use flowloom_core::record::DecodedPacket;

fn deadline() -> Trap {
    Trap::Deadline {
        allowed_ms: 1,
        stack: CallStack::default(),
    }
}

#[test]
fn work_of_the_host_for_the_plugin_is_charged_to_the_plugin() {
    let mut runner = PluginRunner::start(Arc::new(load()), Time::EPOCH, 0);
    runner.budget = CpuBudget::new(EventTime::Ns(1_000_000), RunContext::default());
    // The plugin itself is not called.
    let answer = runner.call(100, Event::Batch { events: 100 }, |_, _| {
        let start = thread_time();
        while thread_time() - start < Duration::from_millis(101) {}
        Ok(())
    });
    assert_eq!(answer, Some(()));
    let report = runner.report();
    assert_eq!((report.calls, report.events, report.excesses), (1, 100, 1));
    assert!(
        matches!(
            report.last_trap,
            Some(Trap::TooSlow {
                allowed: 1_000_000,
                ..
            })
        ),
        "{:?}",
        report.last_trap
    );
    assert!(runner.instance.is_none());
}

#[test]
fn a_call_is_counted_as_the_kind_of_its_trap() {
    for (trap, of_time, of_memory) in [
        (deadline(), 1, 0),
        (
            Trap::Memory {
                requested: 2,
                allowed: 1,
                stack: CallStack::default(),
            },
            0,
            1,
        ),
        (
            Trap::Stopped {
                reason: String::new(),
                stack: CallStack::default(),
            },
            0,
            0,
        ),
    ] {
        let mut runner = PluginRunner::start(Arc::new(load()), Time::EPOCH, 5);
        assert_eq!(runner.held.first(), 5);
        let answer = runner.call(3, Event::Batch { events: 3 }, |_, _| {
            Err::<(), _>(trap.clone())
        });
        assert_eq!(answer, None);
        let report = runner.report();
        assert_eq!((report.calls, report.events, report.traps), (1, 3, 1));
        assert_eq!(
            (report.traps_of_time, report.traps_of_memory),
            (of_time, of_memory)
        );
        assert_eq!(report.last_trap, Some(trap));
        // Nothing is called without an instance.
        assert_eq!(runner.held.first(), u64::MAX);
        assert_eq!(runner.call(1, Event::Finish, |_, _| Ok(())), None);
        assert_eq!(runner.report().calls, 1);
    }
}

#[test]
fn a_plugin_beyond_its_share_of_an_overloaded_meter_gets_no_new_flows() {
    let decoded = DecodedPacket::default();
    let mut packet = FlowPacket::new(&decoded, &[]);
    packet.nth = 1;
    let mut runner = PluginRunner::start(Arc::new(load()), Time::EPOCH, 0);
    runner.load_share.is_over = true;
    assert!(!runner.deliver(&[packet], 0..1, None));
    let report = runner.report();
    assert_eq!(
        (report.flows_shed, report.calls, report.flows_held),
        (1, 0, 0)
    );
    // The end of the overload ends it.
    runner.set_overload(false);
    assert!(!runner.load_share.is_over);
    runner.begin_flow(&packet);
    assert!(runner.held.holds(&packet));
    assert_eq!(runner.report().flows_held, 1);
}

#[test]
fn an_instance_is_opened_during_a_back_off() {
    let plugin = Arc::new(load());
    let mut runner = PluginRunner::start(plugin.clone(), Time::EPOCH, 0);
    assert_eq!(plugin.spares(), 0);
    let trap = deadline();
    runner.call(1, Event::Finish, |_, _| Err::<(), _>(trap));
    while plugin.spares() == 0 {
        std::thread::yield_now();
    }
}
