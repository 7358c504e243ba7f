#include "textflag.h"

// func Get() Token
TEXT ·Get(SB), NOSPLIT|NOFRAME, $0-8
	MOVD g, ret+0(FP)
	RET

// func Caller() uintptr
// R29 is the frame of the function that called Caller. The word above its base
// is where that function will return to.
TEXT ·Caller(SB), NOSPLIT|NOFRAME, $0-8
	MOVD 8(R29), R0
	MOVD R0, ret+0(FP)
	RET

// func word(off uintptr) uintptr
TEXT ·word(SB), NOSPLIT|NOFRAME, $0-16
	MOVD off+0(FP), R0
	MOVD (g)(R0), R0
	MOVD R0, ret+8(FP)
	RET

// func getAnd(off uintptr) (t Token, w uintptr)
TEXT ·getAnd(SB), NOSPLIT|NOFRAME, $0-24
	MOVD off+0(FP), R0
	MOVD g, t+8(FP)
	MOVD (g)(R0), R0
	MOVD R0, w+16(FP)
	RET
