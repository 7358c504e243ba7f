package conformance

// ExecutorBehaviours returns those that concern futures, executors, pools and
// threads. The ids are those of a survey of Python's test_concurrent_futures (FU,
// EX, PP), test_multiprocessing's Pool (PO) and test_threading (TH). A rule of
// this package is "Executor: rule"; what concerns one package alone is a test of
// it, "thread: TestX", where "." is the root.
func ExecutorBehaviours() []Behaviour {
	var all []Behaviour
	for _, part := range [][]Behaviour{futureBehaviours(), executorBehaviours(), poolBehaviours(), processPoolBehaviours(), threadBehaviours()} {
		all = append(all, part...)
	}
	return all
}

const (
	noKeywords   = "Go has no named arguments: a task takes one input, which may be a struct"
	noDropping   = "an executor that nobody closes is closed by thread.Main; that it is collected means nothing in Go"
	noInterrupts = "a program's signals are its own: it makes them the end of a ctx"
	ofProcesses  = "it needs a worker process; the rules of the process engine have it"
	ofEncoding   = "nothing is encoded in one process; the rules of the engines that do have it"
)

func futureBehaviours() []Behaviour {
	return []Behaviour{
		{"FU01", "done_callback_with_result, exception, cancel: called with the finished future", []string{"Executor: OnDone is called in order, and at once if it is done", "Executor: OnDone is called however the job ends"}, ""},
		{"FU02", "done_callback_already_successful, failed, cancelled: called at once", []string{"Executor: OnDone is called in order, and at once if it is done", "Executor: OnDone is called however the job ends"}, ""},
		{"FU03", "done_callback_raises: logged, next callbacks run", []string{"Executor: OnDone that panics is reported, and the others are called", "Executor: OnDone that ends its goroutine uses no worker up"}, ""},
		{"FU04", "repr: pending, running, cancelled, finished", []string{"Executor: a future is pending, running, then done", ".: TestStateNames"}, ""},
		{"FU05", "cancel: a table over all states", []string{"Executor: a queued job that is cancelled never runs", "Executor: a running job that is cancelled is asked to stop", "Executor: a job that is done is not cancelled", "Executor: a job that waits for its next try can be cancelled", "Executor: Cancel is true for those jobs alone that never run"}, "Cancel of a running job is false as there, but the job is asked to stop"},
		{"FU06", "cancelled, done, running: a table over all states", []string{"Executor: a future is pending, running, then done"}, ""},
		{"FU07", "result_with_timeout: for each state; time-out 0 on what is done", []string{"Executor: Result's ctx bounds that wait alone", "Executor: a job's value is its Result", "Executor: a queued job that is cancelled never runs"}, ""},
		{"FU08", "result_with_success, with_cancel: a blocked reader wakes", []string{"Executor: all who wait get the result", "Executor: Cancel wakes who waits for the result"}, ""},
		{"FU09", "exception_with_timeout, with_success", []string{"Executor: a job's error is its Result", "Executor: Result's ctx bounds that wait alone"}, "Result returns the error beside the value; there is no second method"},
		{"FU10", "multiple_set_result: the first outcome is kept", []string{"Executor: a future shared by many is settled once", "Executor: what a function returns after its time is ignored", ".: TestJobElsewhere"}, "a second Finish is ignored, as engines race with time-outs and cancellation"},
		{"FU11", "wait: duplicates are counted once", []string{"Executor: Wait counts duplicates once"}, ""},
		{"FU12", "wait first_completed; a cancelled, un-notified future is not done", []string{"Executor: Wait until the first is done"}, "the contract differs on purpose: what is cancelled is done at once, for Wait as for Result"},
		{"FU13", "wait first_completed_some_already_completed: immediate, with all that are done", []string{"Executor: Wait until the first is done", "Executor: Wait counts duplicates once"}, ""},
		{"FU14", "wait first_exception: earlier successes in done; already failed at once; none fails", []string{"Executor: Wait until the first error"}, "a cancelled job has failed, as its Result is an error"},
		{"FU15", "wait all_completed: success, failure, cancellation", []string{"Executor: Wait until all are done", "Executor: Wait for nothing"}, ""},
		{"FU16", "wait timeout: a partial result", []string{"Executor: Wait whose ctx ends returns what is done"}, "ctx's error stands beside the partial result"},
		{"FU17", "wait pending_calls_race: of 100 futures none is missed", []string{"Executor: Wait misses none of a hundred that end meanwhile", "Executor: Wait for futures of several executors"}, ""},
		{"FU18", "as_completed: no, zero and short time-out; done ones first", []string{"Executor: AsCompleted yields in the order of their end", "Executor: AsCompleted whose ctx ends says how many are left"}, ""},
		{"FU19", "as_completed duplicate_futures: once each", []string{"Executor: AsCompleted yields duplicates once, and nothing of nothing"}, ""},
		{"FU20", "as_completed message: 2 (of 4) futures unfinished", []string{"Executor: AsCompleted whose ctx ends says how many are left"}, ""},
		{"FU21", "free_reference_yielded_future: no reference is kept", nil, "tagged as particular to Python; the caller's slice keeps the futures as long as it lives"},
	}
}

func executorBehaviours() []Behaviour {
	return []Behaviour{
		{"EX01", "submit, submit_keyword", []string{"Executor: a job's value is its Result", "Executor: values of every shape arrive"}, noKeywords},
		{"EX02", "map: as a serial map, with chunk sizes", []string{"Executor: Map yields the outcomes in the order of the inputs"}, ""},
		{"EX03", "map_exception: values before the failing item, then the error", []string{"Executor: an item's error is yielded and the rest go on"}, "the items after it are yielded too; the caller stops if it wants"},
		{"EX04", "map_timeout: what is ready in time, then the time-out", []string{"Executor: the end of ctx ends a Map"}, ""},
		{"EX05", "map_buffersize type and value validation", []string{"Executor: Map yields the outcomes in the order of the inputs"}, "Buffer is an int; below 1 is the default, as with every size"},
		{"EX06", "map_buffersize 1, 2, n, 2n: complete, in order", []string{"Executor: Map yields the outcomes in the order of the inputs", "Executor: MapUnordered yields each outcome once"}, "there is one input sequence: several are zipped by the caller"},
		{"EX07", "map_buffersize_on_infinite_iterable: lazy", []string{"Executor: Map of an endless input, stopped early"}, ""},
		{"EX08", "map_buffersize_on_empty: ends at once", []string{"Executor: Map of nothing"}, ""},
		{"EX09", "map_buffersize_when_buffer_is_full: exactly so many inputs, also after shutdown", []string{"Executor: no more inputs are read ahead than Buffer says", "Executor: Map goes on after its executor is closed, with errors"}, ""},
		{"EX10", "map_submits_without_iteration: all run though nobody reads", []string{"Executor: nothing starts until it is ranged over"}, "the contract differs on purpose: a Go iterator does nothing until it is ranged over, so nothing runs that nobody waits for"},
		{"EX11", "map_current_future_cancel: close cancels the rest", []string{"Executor: stopping early cancels, and waits for what runs", "Executor: an input that panics does not leave jobs behind", ".: TestMapStopsWithItsCaller"}, ""},
		{"EX12", "max_workers_negative: 0 and -1 rejected", []string{"thread: TestPoolRefusesNegativeNumbers"}, "0 is the documented default"},
		{"EX13", "default_workers: the documented formula", []string{"thread: TestPoolDefaults"}, ""},
		{"EX14", "saturation: never more workers than max", []string{"Executor: as many jobs run at once as there are workers, and no more"}, ""},
		{"EX15", "idle_thread_reuse: sequential tasks reuse one worker", []string{"thread: TestPoolStartsThreadsWhenNoneIsIdle"}, ""},
		{"EX16", "swallows_falsey_exceptions: errors that look false are raised", []string{"Executor: a job's error is its Result", "Executor: an error is the very one that the function returned"}, ""},
		{"EX17", "no_stale_references: arguments and results are released", []string{"Executor: what is done is not kept"}, ""},
		{"EX18", "shutdown_race_issue12456: shutdown directly after map", []string{"Executor: Close right after Map", "Executor: Close at the same time as submits"}, ""},
		{"EX19", "initializer: in every worker before its first task", []string{"thread: TestPoolInit"}, ""},
		{"EX20", "failing initializer: pending and later submits fail, logged", []string{"thread: TestPoolInitFails"}, ""},
		{"EX21", "FailingInitializerResources: nothing leaks after it", []string{"thread: TestPoolInitFails"}, "its bubble would not end with a goroutine left"},
		{"EX22", "run_after_shutdown: submit refused", []string{"Executor: after Close jobs are refused", "Executor: while Close waits jobs are refused"}, ""},
		{"EX23", "interpreter_shutdown: the program's end waits for submitted work", []string{"thread: TestMainWaits"}, ""},
		{"EX24", "submit_after_interpreter_shutdown: refused", []string{"thread: TestMainWaits", "Executor: after Close jobs are refused"}, "Main closes the pools that nobody has; a closed pool refuses"},
		{"EX25", "hang_issue12364: shutdown with 50 queued completes all", []string{"Executor: Close runs everything that was accepted"}, ""},
		{"EX26", "cancel_futures: some cancelled, others finished, none pending", []string{"Executor: Close whose ctx ends cancels and names what is left", "Executor: Terminate drops the queue and cancels what runs"}, ""},
		{"EX27", "hang_gh83386: shutdown without wait, then the program's end", []string{"thread: TestMainWaits"}, "Close always waits, bounded by its ctx; Main does what a forgotten Close would have"},
		{"EX28", "hang_gh94440: submit, cancel, shutdown", []string{"Executor: submit, cancel, close"}, ""},
		{"EX29", "threads_terminate: workers gone after shutdown; expected counts", []string{"thread: TestPoolStartsThreadsWhenNoneIsIdle"}, "every rule of Executor looks for strands that are left"},
		{"EX30", "context_manager_shutdown: results complete, workers gone", []string{"Executor: Close runs everything that was accepted"}, "defer Close is Go's with"},
		{"EX31", "del_shutdown: dropping the executor frees the workers after the work", []string{"thread: TestPoolLetsIdleThreadsGo", "thread: TestMainWaits"}, noDropping},
		{"EX32", "shutdown_no_wait: resources freed later, results complete", []string{"Executor: the ctx of a second Close bounds its own wait"}, "Close in a goroutine is the one that does not wait"},
		{"EX33", "thread_names_assigned, default", []string{"thread: TestPoolNames"}, ""},
		{"EX34", "cancel_futures_wait_false: a running task finishes or never starts", []string{"Executor: Terminate does not wait", "Executor: Terminate drops the queue and cancels what runs"}, ""},
		{"EX35", "shutdown_gh_132969: limited-life workers, a failing task, shutdown", nil, ofProcesses},
		{"EX36", "hang_global_shutdown_lock, process_fork_from_a_threadpool", nil, ofProcesses},
		{"EX37", "interpreter pool: init, closures, isolation and transfer", []string{"Executor: a closure is refused", "Executor: closures run as tasks do", "Executor: a job's error is its Result", "thread: TestPoolInitFails"}, "there are no interpreters; the engines in other processes keep the first rule"},
	}
}

func poolBehaviours() []Behaviour {
	return []Behaviour{
		{"PO01", "apply, map, starmap, async forms: equal to serial results", []string{"Executor: Call is Submit and Result", "Executor: Map yields the outcomes in the order of the inputs"}, ""},
		{"PO02", "map_async_callbacks: each once", []string{"Executor: OnDone is called however the job ends", "Executor: OnDone is called in order, and at once if it is done"}, "a callback is of a job; of a whole Map it is the code after the loop"},
		{"PO03", "map_unpicklable: an error, no hang", []string{"Executor: a closure is refused"}, ofEncoding},
		{"PO04", "map_chunksize on empty: immediate", []string{"Executor: Map of nothing"}, ""},
		{"PO05", "handle_iterable_exception: first, middle, in a chunk", []string{"Executor: an input that panics does not leave jobs behind"}, ""},
		{"PO06", "async_timeout: get times out, the task goes on", []string{"Executor: Result's ctx bounds that wait alone"}, ""},
		{"PO07", "imap, imap_unordered with chunks: order, multiset, end", []string{"Executor: Map yields the outcomes in the order of the inputs", "Executor: MapUnordered yields each outcome once", "Executor: MapUnordered yields what is done first"}, ""},
		{"PO08", "make_pool: 0 and -1 rejected, the exact worker count", []string{"thread: TestPoolRefusesNegativeNumbers", "Executor: as many jobs run at once as there are workers, and no more"}, "0 is the documented default"},
		{"PO09", "terminate: 10,000 long tasks stop quickly", []string{"Executor: Terminate of a thousand long jobs"}, ""},
		{"PO10", "empty_iterable: all forms", []string{"Executor: Map of nothing", "Executor: Wait for nothing"}, ""},
		{"PO11", "context, enter: with-exit stops, later use refused", []string{"Executor: after Close jobs are refused", "Executor: Close again waits for the first and says the same", "Executor: Terminate again, of an unused executor, and after Close"}, ""},
		{"PO12", "traceback, wrapped_exception: the remote trace", []string{"Executor: a panic is a PanicError with value, stack and task"}, ""},
		{"PO13", "map_no_failfast: all items run, 1 MB errors, join does not hang", []string{"Executor: errors of a megabyte arrive, and Close does not hang", "Executor: an item's error is yielded and the rest go on"}, ""},
		{"PO14", "release_task_refs, resource_warning", []string{"Executor: what is done is not kept"}, noDropping},
		{"PO15", "async_error_callback, unpickleable_result: 20 bad results lose no worker", []string{"Executor: failures do not use workers up"}, ""},
		{"PO16", "worker_lifetime, early_close, maxtasksperchild", []string{"Executor: Close runs everything that was accepted"}, "threads have no life to limit; for the rest: " + ofProcesses},
		{"PO17", "finalization via atexit: a forgotten pool does not block the end", []string{"thread: TestMainWaits"}, ""},
		{"PO18", "release_unused_processes: failed creation leaves no process", nil, ofProcesses},
		{"PO19", "a killed worker: its task fails or is retried, others go on", nil, ofProcesses},
	}
}

func processPoolBehaviours() []Behaviour {
	return []Behaviour{
		{"PP01", "killed_child", nil, ofProcesses},
		{"PP02", "broken_process_pool_traceback: a fresh error for each future", nil, ofProcesses},
		{"PP03", "traceback_when_child_process_terminates_abruptly", nil, ofProcesses},
		{"PP04", "map_chunksize: 6, 40, 50 over 40 items; -1", []string{"Executor: Map yields the outcomes in the order of the inputs"}, "below 1 is the default"},
		{"PP05", "traceback: remote stack text", []string{"Executor: a panic is a PanicError with value, stack and task"}, ""},
		{"PP06", "ressources_gced_in_workers", []string{"Executor: what is done is not kept"}, ""},
		{"PP07", "max_tasks_per_child", nil, ofProcesses},
		{"PP08", "max_tasks_per_child_pending_tasks", nil, ofProcesses},
		{"PP09", "shutdown_no_wait_max_tasks", nil, ofProcesses},
		{"PP10", "gc_during_max_tasks_worker_exit", nil, ofProcesses},
		{"PP11", "force_shutdown_during_max_tasks_worker_exit", nil, ofProcesses},
		{"PP12", "failed_worker_replacement_breaks_pool", nil, ofProcesses},
		{"PP13", "max_tasks_early_shutdown", nil, ofProcesses},
		{"PP14", "python_finalization_error", nil, ofProcesses},
		{"PP15", "force_shutdown_workers: the second half never runs", []string{"Executor: a running job that ignores Cancel", "Executor: Terminate does not wait"}, "what can kill is held to it by CanKill"},
		{"PP16", "force_shutdown_workers: not started, dead, again; submit refused", []string{"Executor: Terminate again, of an unused executor, and after Close", "Executor: Terminate drops the queue and cancels what runs"}, ""},
		{"PP17", "sysconf_permission_error, max_workers_too_large", nil, ofProcesses},
		{"PP18", "error_at_task_pickle", nil, ofEncoding},
		{"PP19", "exit, error, crash_at_task_unpickle", nil, ofEncoding},
		{"PP20", "crash, exit, error_during_func_exec", []string{"Executor: a job's error is its Result", "Executor: a panic is a PanicError with value, stack and task", "Executor: a Goexit is ErrGoexit"}, "a crash: " + ofProcesses},
		{"PP21", "crash, exit, error_during_result_pickle", nil, ofEncoding},
		{"PP22", "error, exit_during_result_unpickle", []string{".: TestJobElsewhereFails"}, ofEncoding},
		{"PP23", "shutdown_deadlock: a crash after shutdown", nil, ofProcesses},
		{"PP24", "shutdown_deadlock_pickle", nil, ofEncoding},
		{"PP25", "crash_big_data", nil, ofProcesses},
		{"PP26", "gh105829: 100 fast submits against a slow manager", []string{"Executor: a hundred quick submits against one slow worker"}, ""},
	}
}

func threadBehaviours() []Behaviour {
	return []Behaviour{
		{"TH01", "various_ops: 10 tasks under a semaphore of 3", []string{"Semaphore: never more inside than its count", "thread: TestAll"}, ""},
		{"TH02", "name: default names unique, may be changed while running", []string{"thread: TestNames"}, ""},
		{"TH03", "args_argument: list and tuple equal", nil, noKeywords},
		{"TH04", "daemon_param: explicit", []string{"thread: TestDaemonError", "thread: TestMainWaits"}, "a daemon's threads are daemons only if they say so: nothing is inherited unseen"},
		{"TH05", "start_thread_again: an error", nil, "Start makes the thread and starts it; there is none to start again"},
		{"TH06", "joining_current_thread, joining_inactive_thread", []string{"thread: TestJoinItself", "thread: TestMainDeadlock"}, "a thread that has not been started cannot be had"},
		{"TH07", "daemonize_active_thread: an error", nil, "Daemon is an option of Start"},
		{"TH08", "join_with_timeout: returns, the thread is alive", []string{"thread: TestJoinWithTimeout"}, ""},
		{"TH09", "join_from_multiple_threads", []string{"thread: TestJoinByMany"}, ""},
		{"TH10", "enumerate_after_join: never listed", []string{"thread: TestAll"}, ""},
		{"TH11", "limbo_cleanup: a failed start leaves no entry", []string{"thread: TestStartNil"}, "a goroutine's start cannot fail; wrong arguments panic before it"},
		{"TH12", "foreign_thread: gets a stand-in", []string{"thread: TestAll"}, "a goroutine that no ctx names is nameless and no thread; strand.Adopt makes it a strand"},
		{"TH13", "main_thread: identity kept", []string{"thread: TestMainWaits"}, ""},
		{"TH14", "join_on_shutdown: the end waits for threads that are no daemons", []string{"thread: TestMainWaits"}, ""},
		{"TH15", "daemon_threads: do not crash or delay the end", []string{"thread: TestMainWaits"}, ""},
		{"TH16", "thread_from_thread: started at exit time are waited for", []string{"thread: TestMainWaits"}, ""},
		{"TH17", "atexit hooks", nil, "there are no exit hooks: what follows thread.Main in main is theirs"},
		{"TH18", "start_new_thread_at_finalization: refused", nil, "after Main a program may start what it likes; nobody waits for it"},
		{"TH19", "join_daemon_thread_in_finalization", []string{"thread: TestDaemonError"}, "there is no finalization in which a Join would be special"},
		{"TH20", "excepthook: name, type, message, stack", []string{"thread: TestErrorThatNobodyJoins", "thread: TestJoin", ".: TestReport"}, ""},
		{"TH21", "custom_excepthook", []string{"thread: TestDaemonError"}, ""},
		{"TH22", "custom_excepthook_fail: is itself reported", []string{".: TestReport"}, ""},
		{"TH23", "original_excepthook: restorable", []string{".: TestReport"}, ""},
		{"TH24", "system_exit: ends only that thread silently", []string{"thread: TestJoin"}, "runtime.Goexit ends the thread, and Join says so; os.Exit is the program's end"},
		{"TH25", "excepthook_thread_None", []string{".: TestReport"}, ""},
		{"TH26", "print_exception_stderr_is_none", []string{".: TestReport"}, "slog writes, and minds no closed file"},
		{"TH27", "PyThreadState_SetAsyncExc", []string{"thread: TestContextOfThread"}, "a ctx's end is what reaches a thread, when it looks"},
		{"TH28", "no_refcycle_through_target, leak_without_join", []string{"thread: TestErrorThatNobodyJoins"}, noGarbage},
		{"TH29", "BoundedSemaphore_limit", []string{"BoundedSemaphore: one release too many is refused, at every level"}, ""},
		{"TH30", "Timer: fires once; cancel", []string{"thread: TestTimer"}, ""},
		{"TH31", "interrupt_main", nil, noInterrupts},
		{"TH32", "settrace, setprofile", nil, "the runtime has its own tracing and profiles; strands are labelled for them"},
		{"TH33", "stack_size", nil, "stacks grow by themselves"},
		{"TH34", "set_name: the system's name of the thread", nil, "a goroutine is on no thread of the system's; its name is a pprof label"},
		{"TH35", "recursion_limit", nil, "the Go runtime ends the program; a worker process contains that"},
		{"TH36", "locals_at_exit", nil, "there is no late clean-up"},
		{"TH37", "local: invisible to others; the initialiser runs for each", []string{"thread: TestLocal"}, ""},
		{"TH38", "local_refs: data of ended threads is freed", []string{"thread: TestLocal"}, noGarbage},
		{"TH39", "main_thread_after_fork", nil, noFork},
		{"TH40", "lock barrier: 10 tasks meet several times", []string{"Barrier: all meet, again and again"}, ""},
		{"TH41", "serialize_iterator: each value once", []string{"Executor: every job runs once, whoever submits"}, "Go's iterators are not shared by threads; a queue is"},
	}
}
