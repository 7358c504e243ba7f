#include "textflag.h"

// func Get() Token
TEXT ·Get(SB), NOSPLIT|NOFRAME, $0-8
	MOVD g, ret+0(FP)
	RET

// func callersReturn() uintptr
// R29 is the frame of Caller. The word there is the frame of the function that
// called Caller, and the word above that frame's base is where it will return.
TEXT ·callersReturn(SB), NOSPLIT|NOFRAME, $0-8
	MOVD 0(R29), R0
	MOVD 8(R0), R0
	MOVD R0, ret+0(FP)
	RET
