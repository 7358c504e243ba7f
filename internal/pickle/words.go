package pickle

import "strings"

// words are texts that most messages have: those need no memory of their own.
var words = func() map[string]any {
	m := map[string]any{}
	for w := range strings.FieldsSeq(`#RETURN #ERROR #PROXY #TRACEBACK #GETVALUE dummy create incref decref
		accept_connection get_methods dict list set Queue Lock RLock
		__getitem__ __setitem__ __delitem__ __contains__ __len__ __getattribute__ __setattr__ __next__
		get put get_nowait put_nowait qsize task_done pop append update setdefault keys values items copy
		acquire release wait notify notify_all is_set locked recover state
		builtins multiprocessing.managers RebuildProxy Token AutoProxy pickle`) {
		m[w] = w
	}
	return m
}()
