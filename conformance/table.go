package conformance

// A Behaviour is what the test suites of other systems state of such objects.
// The ids are those of a survey of Python's lock_tests.py (LK) and
// test_queue.py (QU) and of gevent's tests of queues, events and locks (GQ).
type Behaviour struct {
	ID, What string

	// Rules that cover it, as "suite: rule".
	Rules []string

	// LeftOut says why it, or a part of it, has no rule.
	LeftOut string
}

// Behaviours returns those that concern the primitives.
func Behaviours() []Behaviour {
	return append(lockBehaviours(), queueBehaviours()...)
}

const (
	noGarbage   = "when an object is collected is the garbage collector's business; nothing here keeps a strand or an item alive, and no one may count on when"
	noFork      = "there is no fork: a worker process is the binary started again, whose locks are new"
	anyStrand   = "the contract differs on purpose: only its holder releases a Lock, as no wait-for graph survives otherwise; a hand-over lock is a bounded semaphore of 1"
	byContext   = "there are no time-out arguments, so no invalid ones: a ctx bounds a wait, and one that has ended is the least time there is"
	byState     = "there is no text form to parse: State has it in fields"
	noDefault   = "there are no default values: the maker's argument says it"
	noResize    = "a queue's bound is fixed when it is made"
	noCallbacks = "a queue runs no code of its user's, except the less of a priority queue, which must not use the queue"
)

func lockBehaviours() []Behaviour {
	return []Behaviour{
		{"LK01", "constructor, acquire/release: a new lock is free and can be used again and again", []string{"Lock: a new lock is free", "RLock: a new lock is free"}, ""},
		{"LK02", "try_acquire: of a free lock true, of a held one false, also from others", []string{"Lock: TryAcquire takes a free lock and refuses a held one", "RLock: TryAcquire takes a free lock and refuses a held one"}, ""},
		{"LK03", "acquire_contended: waiters stay blocked until release and pass one by one", []string{"Lock: waiters pass one by one", "Lock: those who have waited pass in order", "RLock: waiters pass one by one"}, ""},
		{"LK04", "with: holds inside, frees on error too", []string{"Lock: With holds inside and releases after an error, a panic and Goexit", "RLock: With holds inside and releases after an error, a panic and Goexit"}, ""},
		{"LK05", "timeout: invalid combinations rejected; a free lock at once; a held one after the time", []string{"Lock: a time-out ends a wait", "Lock: a free lock is taken however short the time", "Lock: a ctx that has ended changes nothing"}, byContext},
		{"LK06", "state_after_timeout: a timed-out acquire leaves the lock usable and not held", []string{"Lock: a time-out ends a wait", "RLock: a time-out ends a wait"}, ""},
		{"LK07", "reacquire: a second acquire of a plain lock blocks until another thread releases it", []string{"Lock: to acquire it twice is refused", "BoundedSemaphore: the holder of the last one is not its owner"}, "the contract differs on purpose: nobody else can release it, so the wait could never end and is refused as a deadlock"},
		{"LK08", "different_thread: a plain lock can be released by another thread", []string{"Lock: only the holder releases", "BoundedSemaphore: any strand may release"}, anyStrand},
		{"LK09", "locked, repr: show held and free", []string{"Lock: State tells who holds it, since when, and who waits"}, byState},
		{"LK10", "weakref, thread_leak: a lock does not keep its owner alive", nil, noGarbage},
		{"LK11", "at_fork_reinit: after a reset a lock is free and usable", nil, noFork + "; a lock whose holder died is taken by Recover"},
		{"LK12", "RLock reacquire: nests, needs equal releases", []string{"RLock: it nests, and is released as often", "RLock: TryAcquire and Recover nest too", "RLock: others wait until the last level is released"}, ""},
		{"LK13", "RLock release_unacquired: an extra release is an error, also after balanced use", []string{"RLock: one release too many is refused, also after balanced use"}, ""},
		{"LK14", "RLock different_thread: release by a non-owner is an error", []string{"RLock: only the holder releases", "RLock: a stranger releases no level"}, ""},
		{"LK15", "RLock locked, locked_with_2threads: true while the count is above 0, seen by others", []string{"RLock: State tells who holds it, since when, and who waits", "RLock: others wait until the last level is released"}, ""},
		{"LK16", "RLock recursion_count: 0 for a non-owner, the depth for the owner", []string{"RLock: it nests, and is released as often"}, "State tells everybody the same depth, and whose it is"},
		{"LK17", "RLock is_owned: only in the owner", []string{"RLock: State tells who holds it, since when, and who waits"}, "State names the holder; the caller compares"},
		{"LK18", "RLock repr_count: shows owner and depth", []string{"RLock: it nests, and is released as often", "RLock: State tells who holds it, since when, and who waits"}, byState},
		{"LK19", "Event is_set: set and clear are idempotent", []string{"Event: Set and Clear may be repeated"}, ""},
		{"LK20", "Event notify: all waiters wake, a later wait returns at once; again after clear", []string{"Event: all who wait pass when it is set"}, ""},
		{"LK21", "Event timeout: wait(0) false when clear, a timed wait after the time; true when set", []string{"Event: a time-out ends a wait", "Event: a ctx that has ended is an error, also when it is set"}, "a ctx that has ended is an error even if the flag is set: a nil error means that it was waited for; State asks without waiting"},
		{"LK22", "Event set_and_clear: releases every blocked waiter", []string{"Event: who waits passes although Clear follows Set at once"}, ""},
		{"LK23", "Condition acquire: the default lock is re-entrant; a given one is used", []string{"Condition: its own lock is re-entrant", "Condition: a lock that it is given is the one it uses"}, ""},
		{"LK24", "Condition unacquired_wait, unacquired_notify: an error without the lock", []string{"Condition: Wait and Notify without the lock are refused"}, ""},
		{"LK25", "Condition notify: n of m wake, in order, none before the release", []string{"Condition: Notify of n wakes n, the longest waiting first", "Condition: nobody returns before the lock is released", "Condition: nobody wakes without Notify"}, ""},
		{"LK26", "Condition timeout: every waiter returns after the time", []string{"Condition: a time-out ends a wait with the lock held", "Condition: a time-out waits for the lock even so"}, ""},
		{"LK27", "Condition waitfor: returns when the predicate holds, re-checks after each notify", []string{"Condition: WaitFor returns when the predicate holds"}, ""},
		{"LK28", "Condition waitfor_timeout: after the total time although notified meanwhile", []string{"Condition: WaitFor times out although it is notified"}, ""},
		{"LK29", "Semaphore constructor: a negative value is rejected; default 1", []string{"Semaphore: a count below zero is refused", "BoundedSemaphore: a count below zero is refused", "Semaphore: it may begin with none"}, noDefault},
		{"LK30", "Semaphore acquire_contended: exactly value acquirers per batch of releases", []string{"Semaphore: as many pass as are released", "BoundedSemaphore: as many pass as are released", "Semaphore: never more inside than its count"}, ""},
		{"LK31", "Semaphore multirelease: release(n) lets n through", []string{"Semaphore: Release of n lets n through", "Semaphore: Release of less than 1 is refused"}, ""},
		{"LK32", "Semaphore try_acquire, contended: results add up", []string{"Semaphore: it lets as many in as its count, and TryAcquire no more", "Semaphore: tries of many strands add up"}, ""},
		{"LK33", "Semaphore acquire_timeout: false after the time; a time-out with non-blocking rejected", []string{"Semaphore: a time-out ends a wait", "Semaphore: a ctx that has ended changes nothing"}, byContext},
		{"LK34", "Semaphore release_unacquired: an unbounded one may grow", []string{"Semaphore: its count may rise above its first value"}, ""},
		{"LK35", "Semaphore with: nested use up to the value", []string{"Semaphore: it lets as many in as its count, and TryAcquire no more"}, "With is for locks; a semaphore has no holder to nest in"},
		{"LK36", "BoundedSemaphore release_unacquired: over-release is an error at every level", []string{"BoundedSemaphore: one release too many is refused, at every level"}, ""},
		{"LK37", "Barrier constructor: parties 0 or negative rejected", []string{"Barrier: less than one party is refused"}, ""},
		{"LK38", "Barrier barrier, barrier_10: lock step through 1 and 10 passes", []string{"Barrier: all meet, again and again"}, ""},
		{"LK39", "Barrier wait_return: the indices are a permutation", []string{"Barrier: the turns are the numbers from 0"}, ""},
		{"LK40", "Barrier action: once per pass before anyone continues", []string{"Barrier: the action runs once a pass, before anyone goes on", "Barrier: an action that fails breaks it", "Barrier: an action that panics breaks it"}, ""},
		{"LK41", "Barrier abort: all get broken, and it reads broken", []string{"Barrier: Abort breaks it for all"}, ""},
		{"LK42", "Barrier reset: waiters get broken, and it is usable afterwards", []string{"Barrier: Reset sends those who wait away, and it is whole"}, ""},
		{"LK43", "Barrier abort_and_reset: a broken one becomes usable", []string{"Barrier: Reset mends a broken one"}, ""},
		{"LK44", "Barrier timeout, default_timeout: a late party breaks it for all", []string{"Barrier: a party that gives up breaks it for all", "Barrier: a ctx that has ended breaks it"}, noDefault + " of a time-out: each ctx says its own"},
		{"LK45", "Barrier single_thread: one party never blocks", []string{"Barrier: a party alone never waits"}, ""},
		{"LK46", "Barrier repr: shows waiters or broken", []string{"Barrier: State tells who has come"}, byState},
	}
}

func queueBehaviours() []Behaviour {
	return []Behaviour{
		{"QU01", "basic: order by type; full and empty; blocked putters and getters are freed", []string{"Queue: it gives items in its order", "LIFO: it gives items in its order", "Priority: it gives items in its order", "Queue: full and empty are told apart without waiting", "Queue: a Put waits for room", "Queue: a Get waits for an item", "Queue: a time-out ends a wait"}, ""},
		{"QU02", "queue_task_done: one too many is an error", []string{"Queue: TaskDone once too often is refused"}, ""},
		{"QU03", "queue_join: after all task_done; at once on an idle queue; twice", []string{"Queue: Join waits until all work is done", "Queue: Join of an idle queue returns at once, and again", "Queue: a time-out ends a Join"}, ""},
		{"QU04", "negative_timeout: an error for put and get", []string{"Queue: a ctx that has ended changes nothing"}, byContext},
		{"QU05", "nowait: nowait forms", []string{"Queue: full and empty are told apart without waiting", "Queue: without a bound it is never full"}, ""},
		{"QU06", "shrinking_queue: lowering maxsize blocks further puts", nil, noResize},
		{"QU07", "shutdown_empty: put and get are refused", []string{"Queue: a queue that is shut down empty refuses all"}, ""},
		{"QU08", "shutdown_nonempty: the remaining items can be got", []string{"Queue: Drain lets what is in it be got"}, ""},
		{"QU09", "shutdown_immediate: items gone, get is refused", []string{"Queue: Discard drops what is in it"}, ""},
		{"QU10", "shutdown_allowed_transitions: soft, immediate, soft again", []string{"Queue: Discard may follow Drain, and nothing undoes either"}, ""},
		{"QU11", "shutdown_all_methods_in_one_thread: each method as specified", []string{"Queue: a queue that is shut down empty refuses all", "Queue: Drain lets what is in it be got", "Queue: Discard counts what it drops as done", "Queue: Join goes on after Drain"}, ""},
		{"QU12", "shutdown_all_methods_in_many_threads: mid-stream: all end", []string{"Queue: readers and writers all end when it is shut down"}, ""},
		{"QU13", "shutdown_get: of 3 getters and 2 items exactly one is refused", []string{"Queue: of three getters and two items one gets ErrShutdown"}, ""},
		{"QU14", "shutdown_put: blocked putters on a full queue are refused", []string{"Queue: putters that wait get ErrShutdown, and put nothing"}, ""},
		{"QU15", "shutdown_join, put_join, get_task_done_join: joiners released in every mode", []string{"Queue: Discard counts what it drops as done", "Queue: Join goes on after Drain"}, ""},
		{"QU16", "shutdown_pending_get: a getter blocked on an empty queue wakes", []string{"Queue: getters that wait get ErrShutdown"}, ""},
		{"QU17", "failing_queue: an error in a hook leaves size, locks and counters right", nil, noCallbacks + "; one that panics is tested where it is written"},
		{"QU18", "simple: per-producer order; nothing lost or doubled with many", []string{"Queue: producers and consumers lose and double nothing", "Queue: and nothing by tries and time-outs", "LIFO: producers and consumers lose and double nothing", "Priority: producers and consumers lose and double nothing"}, ""},
		{"QU19", "references: an item is released as soon as it leaves the queue", nil, noGarbage},
		{"QU20", "reentrancy: put from a callback run inside get or put does not deadlock", nil, noCallbacks},

		{"GQ01", "put_nowait_unlock, get_nowait_unlock: from the hub they run waiters", []string{"Queue: TryPut and TryGet serve those who wait"}, ""},
		{"GQ02", "send_first, send_last, max_size, zero_max_size, multiple_waiters: first come first served", []string{"Queue: those who wait are served in order"}, "a bound of 0 is none; there is no queue that only hands over"},
		{"GQ03", "waiters_that_cancel, senders_that_die, two_bogus_waiters: they never swallow an item", []string{"Queue: a getter that gave up swallows no item", "Queue: a putter that gave up puts nothing and takes no room", "Queue: an item and a cancellation at once lose nothing", "Semaphore: a waiter that gave up swallows no release", "Lock: a waiter that gave up is passed over", "Condition: a waiter that gave up swallows no Notify"}, ""},
		{"GQ04", "peek; iterable; task_done; join on empty", []string{"Queue: All yields until the queue is shut down and empty", "Queue: Join of an idle queue returns at once, and again"}, "there is no peek: what it returned could be gone before the caller looks"},
		{"GQ05", "get and put interrupt for every type: no stale waiter", []string{"Queue: a time-out ends a wait", "LIFO: a time-out ends a wait", "Priority: a time-out ends a wait", "Queue: and nothing by tries and time-outs"}, ""},
		{"GQ06", "Event set_during_wait, set-then-clear with many, wait while notifying, cross-thread", []string{"Event: a hundred pass although Clear follows Set at once", "Event: a strand that passed may wait again and set again", "Event: goroutines that are no strands wait and set"}, ""},
		{"GQ07", "AsyncResult: set once, read by many", nil, "that is a Future; the executors' suite has it"},
		{"GQ08", "Semaphore timeout, release twice, fairness, multi-thread duels; Bounded; RLock threads", []string{"Semaphore: nobody starves", "Semaphore: those who wait pass in order", "Semaphore: a storm of time-outs leaves it usable", "BoundedSemaphore: nobody starves", "Semaphore: goroutines that are no strands share it", "RLock: a goroutine with a borrowed ctx is not its strand"}, ""},
	}
}
