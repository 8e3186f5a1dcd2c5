/*
 * Let User Mode Linux run on processors with more register state than it knows.
 *
 * UML gives a process its floating point registers back with PTRACE_SETREGSET of NT_X86_XSTATE, from a buffer of a fixed
 * 2696 bytes: enough up to AVX-512 and PKRU. The host's kernel takes only the whole set. On a processor with AMX that is
 * about 11 KiB, so that the call fails with EFAULT and UML panics: "ptrace set fp regs failed, errno = 14".
 *
 * This is an LD_PRELOAD wrapper around ptrace() that completes such a short write: it reads the whole set, lays what UML
 * gave over its beginning, and writes the whole. AMX's own registers, at the end, stay as they are in the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202

/* Static, since UML runs on small stacks of its own; only one of its threads calls ptrace(). */
static char whole[65536];

static long set_xstate(pid_t pid, void *type, struct iovec *given)
{
	struct iovec all = { whole, sizeof whole };

	if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, type, &all) < 0)
		return -1;
	if (given->iov_len >= all.iov_len)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, given);
	memcpy(whole, given->iov_base, given->iov_len);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, &all);
}

/* The system call stores the word, where the C library's function returns it. */
static long peek(long request, pid_t pid, void *addr)
{
	long word;

	if (syscall(SYS_ptrace, request, pid, addr, &word) < 0)
		return -1;
	errno = 0;
	return word;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	pid_t pid;
	void *addr, *data;

	va_start(rest, request);
	pid = va_arg(rest, pid_t);
	addr = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);

	switch (request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER:
		return peek(request, pid, addr);
	case PTRACE_SETREGSET:
		if ((long)addr == NT_X86_XSTATE)
			return set_xstate(pid, addr, data);
		/* fall through */
	default:
		return syscall(SYS_ptrace, request, pid, addr, data);
	}
}
