package host

// Standard returns the types that every server has, with the locks of one
// server and the engine of its pools.
func Standard(l *Locks, g *Engine) []*Type {
	auto := func(kind string) *Type {
		return &Type{ID: kind, Exposed: QueueMethods, New: NewQueue(kind)}
	}
	joinable := auto("Queue")
	joinable.ID = "JoinableQueue"
	return []*Type{
		{ID: "dict", Exposed: DictMethods, Proxy: "DictProxy", New: NewDict},
		{ID: "list", Exposed: ListMethods, Proxy: "ListProxy", New: NewList},
		{ID: "set", Exposed: SetMethods, Proxy: "SetProxy", New: NewSet},
		{ID: "Namespace", Exposed: NamespaceMethods, Proxy: "NamespaceProxy", New: NewNamespace},
		{ID: "Value", Exposed: ValueMethods, Proxy: "ValueProxy", New: NewValue},
		{ID: "Array", Exposed: ArrayMethods, Proxy: "ArrayProxy", New: NewArray},
		auto("Queue"), joinable, auto("LifoQueue"), auto("PriorityQueue"),
		{ID: "Lock", Exposed: LockMethods, Proxy: "AcquirerProxy", New: NewLock(l, false)},
		{ID: "RLock", Exposed: LockMethods, Proxy: "AcquirerProxy", New: NewLock(l, true)},
		{ID: "Semaphore", Exposed: SemaphoreMethods, Proxy: "AcquirerProxy", New: NewSemaphore(l, false)},
		{ID: "BoundedSemaphore", Exposed: SemaphoreMethods, Proxy: "AcquirerProxy", New: NewSemaphore(l, true)},
		{ID: "Event", Exposed: EventMethods, Proxy: "EventProxy", New: NewEvent},
		{ID: "Condition", Exposed: ConditionMethods, Proxy: "ConditionProxy", New: NewCondition(l)},
		{ID: "Barrier", Exposed: BarrierMethods, Proxy: "BarrierProxy", New: NewBarrier},
		{ID: "Pool", Exposed: PoolMethods, Proxy: "PoolProxy", New: NewPool(g)},
		{ID: "AsyncResult", Exposed: ResultMethods},
		{ID: "Iterator", Exposed: IteratorMethods, Proxy: "IteratorProxy"},
	}
}
