/* Programs that make a kernel flush TLBs, each a loop over one kind of call.
 *
 *   workloads MODE SETTING ITERATIONS PAGES CPU_A CPU_B CONTROL [FILE]
 *
 * Settings:
 *   alone    one thread on CPU_A. CPU_B spins in another process, so that nobody else runs there
 *   spinner  a second thread of the process spins on CPU_B, in user mode
 *   both     both threads work, each on pages of its own
 *   loose    as spinner, but not with real-time priority: the scheduler may take the CPUs away
 *
 * The work is done in bursts. Only then are both CPUs held (SCHED_FIFO); a burst ends long before
 * the kernel would take a CPU back for others. Just inside each burst the program reads the TLB row
 * of /proc/interrupts, and writes 1 and 0 to CONTROL (a tracefs tracing_on; "-" for none), so that
 * starting and ending, and other programs, are not counted. It prints, in one line each: the
 * iterations of each worker; the page faults that needed no I/O (with forkcow, each in a page that
 * is copied); and for every CPU what was added to its row.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define TABLE (512 * PAGE) /* what one page table maps */
#define MAX_CPUS 1024
#define BURST 0.2 /* seconds that both CPUs are held */
#define PAUSE 20000 /* microseconds in which the others run */

/* Shared, so that a fork never makes the partner's page one that is copied on a write. */
struct shared {
	_Atomic int go, arrived, finished, over;
	_Atomic long share, done;
};

struct worker {
	int cpu, number;
	char *pages, *other;
};

static const char *mode, *path;
static long pages, file_pages;
static int realtime = 1, working, cpu_a, cpu_b, control = -1, interrupts, file = -1;
static struct shared *shared;
static struct worker workers[2];
static char text[1 << 16];
static long before[MAX_CPUS], after[MAX_CPUS], added[MAX_CPUS];
static int cpus;
static long faults;
/* Private: the end of a process flushes apart for a dirty page that is shared. */
static atomic_int child_ready;

static void die(const char *what)
{
	fprintf(stderr, "workloads: %s: %s\n", what, strerror(errno));
	exit(3);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set))
		die("sched_setaffinity");
}

static void priority(int level)
{
	struct sched_param p = {.sched_priority = realtime ? level : 0};
	if (sched_setscheduler(0, realtime && level ? SCHED_FIFO : SCHED_OTHER, &p))
		die("sched_setscheduler");
}

static void relax(void)
{
	__builtin_ia32_pause();
}

static void tlb_row(long *row)
{
	size_t have = 0;
	ssize_t got;
	if (lseek(interrupts, 0, SEEK_SET))
		die("/proc/interrupts");
	while ((got = read(interrupts, text + have, sizeof text - 1 - have)) > 0)
		have += got;
	text[have] = 0;
	char *at = strstr(text, "TLB:"), *end;
	if (!at)
		die("no TLB row");
	at += 4;
	for (cpus = 0; cpus < MAX_CPUS; cpus++, at = end) {
		row[cpus] = strtol(at, &end, 10);
		if (end == at)
			break;
	}
}

static long minor_faults(void)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage))
		die("getrusage");
	return usage.ru_minflt;
}

static void begin(void)
{
	if (control >= 0 && write(control, "1", 1) != 1)
		die("tracing_on");
	faults -= minor_faults();
	tlb_row(before);
}

static void end(void)
{
	tlb_row(after);
	faults += minor_faults();
	if (control >= 0 && write(control, "0", 1) != 1)
		die("tracing_on");
	for (int i = 0; i < cpus; i++)
		added[i] += after[i] - before[i];
}

static char *map(char *at, int prot)
{
	char *p = mmap(at, pages * PAGE, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p != at)
		die("mmap");
	return p;
}

static void touch(char *p)
{
	for (long i = 0; i < pages; i++)
		((volatile char *)p)[i * PAGE] = 1;
}

static void madvise_or_die(char *p, int advice)
{
	if (madvise(p, pages * PAGE, advice))
		die("madvise");
}

static void protect(char *p, int prot)
{
	if (mprotect(p, pages * PAGE, prot))
		die("mprotect");
}

static int is(const char *name)
{
	return !strcmp(mode, name);
}

static int reclaims(void)
{
	return is("filereclaim") || is("filereclaim-small");
}

/* The place is fixed, so that it does not depend on chance whether pages share their page table
 * with others: neighbours hold it, unless the mode is munmap-table. */
static void prepare(struct worker *w)
{
	size_t size = 8 * TABLE + pages * PAGE * 2;
	if (reclaims()) {
		w->pages = mmap(0, file_pages * PAGE, PROT_READ, MAP_SHARED, file, 0);
		if (w->pages == MAP_FAILED)
			die("mmap");
		/* One page in each folio, or their sizes depend on what was read ahead. */
		if (is("filereclaim-small") && madvise(w->pages, file_pages * PAGE, MADV_RANDOM))
			die("madvise");
		return;
	}
	char *raw = mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		die("mmap");
	char *table = (char *)(((unsigned long)raw + 2 * TABLE - 1) & ~(TABLE - 1));
	w->pages = table + 16 * PAGE;
	w->other = w->pages + (pages + 16) * PAGE;
	if (is("munmap-table")) {
		/* Nothing else within the page tables that the pages need. */
		char *last = table + ((16 + pages) * PAGE + TABLE - 1) / TABLE * TABLE;
		if (munmap(table, last - table))
			die("munmap");
		return;
	}
	if (munmap(w->pages, pages * PAGE) || munmap(w->other, pages * PAGE))
		die("munmap");
	if (is("pageout")) {
		w->pages = mmap(w->pages, pages * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
		if (w->pages == MAP_FAILED)
			die("mmap");
	} else if (!is("munmap")) {
		map(w->pages, PROT_READ | PROT_WRITE);
	}
	/* What a page-table page costs is paid before: the neighbour stays. */
	if (mprotect(w->pages - PAGE, PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	((volatile char *)w->pages)[-(long)PAGE] = 1;
}

static void *child_spins(void *unused)
{
	atomic_store(&child_ready, 1);
	for (;;)
		relax();
	return unused;
}

/* What _exit() of a process with PAGES pages costs, when a thread of it runs on the other CPU. */
static void big_exit(struct worker *w)
{
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		if (strcmp(path, "alone")) {
			/* Born on its CPU: here it would wait for us, who wait for it. */
			pthread_t thread;
			pthread_attr_t born;
			cpu_set_t set;
			atomic_store(&child_ready, 0); /* the page is copied now, not under two CPUs */
			CPU_ZERO(&set);
			CPU_SET(cpu_b, &set);
			if (pthread_attr_init(&born) ||
			    pthread_attr_setaffinity_np(&born, sizeof set, &set) ||
			    pthread_create(&thread, &born, child_spins, 0))
				die("pthread_create");
			while (!atomic_load(&child_ready))
				relax();
		}
		touch(w->pages);
		_exit(0);
	}
	waitpid(child, 0, 0);
}

static void step(struct worker *w, long number)
{
	char *p = w->pages;
	if (is("dontneed")) {
		touch(p);
		madvise_or_die(p, MADV_DONTNEED);
	} else if (is("free")) {
		touch(p);
		madvise_or_die(p, MADV_FREE);
	} else if (is("munmap") || is("munmap-table")) {
		map(p, PROT_READ | PROT_WRITE);
		touch(p);
		if (munmap(p, pages * PAGE))
			die("munmap");
	} else if (is("mprotect")) {
		touch(p);
		protect(p, PROT_READ);
		protect(p, PROT_READ | PROT_WRITE);
	} else if (is("mremap")) {
		touch(p);
		map(w->other, PROT_NONE);
		if (mremap(p, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   w->other) != w->other)
			die("mremap");
		w->pages = w->other;
		w->other = p;
	} else if (is("forkcow") || is("forkcow-raw")) {
		/* The child waits for this CPU until we wait for it: all pages are still shared. */
		touch(p);
		pid_t child = is("forkcow") ? fork() : syscall(SYS_fork);
		if (child < 0)
			die("fork");
		if (!child)
			_exit(0);
		touch(p);
		if (is("forkcow"))
			waitpid(child, 0, 0);
		else
			syscall(SYS_wait4, child, 0, 0, 0);
	} else if (is("bigexit")) {
		big_exit(w);
	} else if (is("pageout")) {
		for (long i = 0; i < pages; i++)
			(void)((volatile char *)p)[i * PAGE];
		madvise_or_die(p, MADV_PAGEOUT);
	} else if (reclaims()) {
		p += number % (file_pages / pages) * pages * PAGE;
		for (long i = 0; i < pages; i++)
			(void)((volatile char *)p)[i * PAGE];
	} else if (is("movepages")) {
		static void *which[512];
		static int nodes[512], status[512];
		long n = pages > 512 ? 512 : pages;
		touch(p);
		for (long i = 0; i < n; i++) {
			which[i] = p + i * PAGE;
			nodes[i] = path[0] == '2' ? number & 1 : 0;
		}
		if (syscall(SYS_move_pages, 0, n, which, nodes, status, 2) < 0)
			die("move_pages");
	} else if (is("mbind")) {
		unsigned long mask = path[0] == '2' ? 1UL << (number & 1) : 1;
		touch(p);
		if (syscall(SYS_mbind, p, pages * PAGE, 2, &mask, 8, 2))
			die("mbind");
	} else {
		fprintf(stderr, "workloads: no mode %s\n", mode);
		exit(2);
	}
}

static void run(struct worker *w, long from, long count)
{
	for (long i = 0; i < count; i++)
		step(w, from + i);
}

/* The partner sleeps between bursts, and never leaves user mode in one unless it works. */
static void *partner(void *argument)
{
	struct worker *w = argument;
	long done = 0;
	pin(w->cpu);
	for (int burst = 1;; burst++) {
		priority(0);
		while (atomic_load(&shared->go) < burst)
			if (atomic_load(&shared->over))
				return 0;
			else
				usleep(200);
		priority(1);
		atomic_store(&shared->arrived, burst);
		if (working) {
			while (atomic_load(&shared->share) < 0)
				relax();
			run(w, done, atomic_load(&shared->share));
			done += atomic_load(&shared->share);
			atomic_store(&shared->done, done);
		}
		while (atomic_load(&shared->finished) < burst)
			relax();
	}
}

int main(int count, char **words)
{
	if (count < 8) {
		fprintf(stderr, "workloads MODE SETTING ITERATIONS PAGES CPU_A CPU_B CONTROL [FILE]\n");
		return 2;
	}
	mode = words[1];
	const char *setting = words[2];
	long iterations = atol(words[3]);
	pages = atol(words[4]);
	cpu_a = atoi(words[5]);
	cpu_b = atoi(words[6]);
	path = count > 8 ? words[8] : "-";
	working = !strcmp(setting, "both");
	realtime = strcmp(setting, "loose") != 0;
	alarm(100); /* nothing else would end threads that wait for each other */
	pin(cpu_a);
	if (strcmp(words[7], "-") && (control = open(words[7], O_WRONLY)) < 0)
		die(words[7]);
	if ((interrupts = open("/proc/interrupts", O_RDONLY)) < 0)
		die("/proc/interrupts");
	if (is("pageout") || reclaims()) {
		if ((file = open(path, O_RDONLY)) < 0)
			die(path);
		file_pages = lseek(file, 0, SEEK_END) / PAGE;
		if (file_pages < pages) {
			fprintf(stderr, "workloads: %s is too short\n", path);
			return 2;
		}
	}
	shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	shared->share = -1;
	workers[0] = (struct worker){.cpu = cpu_a, .number = 0};
	workers[1] = (struct worker){.cpu = cpu_b, .number = 1};

	/* With bigexit the threads are in the child; here CPU_B only is kept from the others. */
	int apart = !strcmp(setting, "alone") || is("bigexit");
	if (is("bigexit"))
		path = setting;
	pid_t other = 0;
	pthread_t thread;
	if (apart) {
		if ((other = fork()) < 0)
			die("fork");
		if (!other) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL))
				die("prctl");
			working = 0; /* it only spins */
			partner(&workers[1]);
			_exit(0);
		}
	}
	prepare(&workers[0]);
	if (working && !apart)
		prepare(&workers[1]);
	if (!apart && pthread_create(&thread, 0, partner, &workers[1]))
		die("pthread_create");

	/* Below here the stack begins in the middle of a page: a fork copies one of it, no more. */
	long done = 0, share = 1;
	*(volatile char *)alloca(((unsigned long)__builtin_frame_address(0) & (PAGE - 1)) +
				 PAGE / 2) = 0;
	for (int burst = 1; done < iterations; burst++) {
		if (share > iterations - done)
			share = iterations - done;
		atomic_store(&shared->share, -1);
		atomic_store(&shared->go, burst);
		while (atomic_load(&shared->arrived) < burst)
			usleep(100);
		priority(2);
		begin();
		double start = now();
		atomic_store(&shared->share, share);
		run(&workers[0], done, share);
		done += share;
		while (working && !apart && atomic_load(&shared->done) < done)
			relax();
		double took = now() - start;
		end();
		priority(0);
		atomic_store(&shared->finished, burst);
		usleep(realtime ? PAUSE : 1000);
		double factor = BURST / took;
		share *= factor > 20 ? 20 : factor;
		if (share < 1)
			share = 1;
	}
	atomic_store(&shared->over, 1);
	if (apart)
		waitpid(other, 0, 0);
	else
		pthread_join(thread, 0);
	printf("%ld\n%ld\n", done, faults);
	for (int i = 0; i < cpus; i++)
		printf("%ld%c", added[i], i + 1 < cpus ? ' ' : '\n');
	return 0;
}
