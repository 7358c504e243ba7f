package host

// TakesLong reports whether a method may take as long as an object is large.
func TakesLong(method string) bool { return long[method] }

var long = map[string]bool{
	"#GETVALUE": true, "__str__": true, "__repr__": true, "__iter__": true, "__reversed__": true,
	"__add__": true, "__mul__": true, "__rmul__": true, "__iadd__": true, "__imul__": true,
	"__eq__": true, "__ne__": true, "__lt__": true, "__le__": true, "__gt__": true, "__ge__": true,
	"__or__": true, "__ror__": true, "__ior__": true, "__and__": true, "__rand__": true, "__iand__": true,
	"__sub__": true, "__rsub__": true, "__isub__": true, "__xor__": true, "__rxor__": true, "__ixor__": true,
	"copy": true, "count": true, "index": true, "remove": true, "reverse": true, "sort": true, "extend": true,
	"clear": true, "keys": true, "values": true, "items": true, "update": true, "fromkeys": true,
	"union": true, "intersection": true, "difference": true, "symmetric_difference": true, "isdisjoint": true,
	"issubset": true, "issuperset": true, "intersection_update": true, "difference_update": true,
	"symmetric_difference_update": true,
	"map":                         true, "starmap": true, "map_async": true, "starmap_async": true, "imap": true, "imap_unordered": true,
}
