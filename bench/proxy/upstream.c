/*
 * The application behind every proxy that is measured: answers from memory with two system calls a request, so that
 * what is measured is the proxy. In C because a proxy should not be measured against its own runtime (tokio), and
 * because nginx, as an upstream, would cost twice as much of the two cores that the proxies are to use.
 *
 *   upstream PORT THREADS
 *   GET /       12 bytes          GET /echo   the request's head
 *   GET /large  100 KiB           GET /count  how many requests have been answered, this one not counted
 *
 * Requests have no body and are not pipelined: proxies do not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define HEAD_SIZE 8192
#define LARGE_SIZE (100 * 1024)
#define EVENTS 256

struct connection {
    int socket;
    size_t received;
    const char *sending; /* NULL: waiting for a request */
    size_t left;
    char *owned; /* freed once it is sent */
    char head[HEAD_SIZE];
};

static atomic_ulong answered;
static char *small, *large;
static size_t small_size, large_size;
static int port;

static char *response(const char *type, const char *body, size_t size, size_t *whole)
{
    char *text = malloc(size + 256);
    int head = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, size);
    memcpy(text + head, body, size);
    *whole = head + size;
    return text;
}

static void answer(struct connection *connection)
{
    char count[32];
    if (strncmp(connection->head, "GET /count ", 11) == 0) {
        int size = sprintf(count, "%lu", atomic_load(&answered));
        connection->sending = connection->owned = response("text/plain", count, size, &connection->left);
        return;
    }
    atomic_fetch_add_explicit(&answered, 1, memory_order_relaxed);
    if (strncmp(connection->head, "GET /echo ", 10) == 0) {
        connection->sending = connection->owned =
            response("text/plain", connection->head, connection->received, &connection->left);
    } else if (strncmp(connection->head, "GET /large ", 11) == 0) {
        connection->sending = large;
        connection->left = large_size;
    } else {
        connection->sending = small;
        connection->left = small_size;
    }
}

/* Returns 0 when all is sent, 1 when the peer has to read first, -1 when it is gone. */
static int push(struct connection *connection)
{
    while (connection->left > 0) {
        ssize_t count = send(connection->socket, connection->sending, connection->left, MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN ? 1 : -1;
        connection->sending += count;
        connection->left -= count;
    }
    free(connection->owned);
    connection->owned = NULL;
    connection->sending = NULL;
    connection->received = 0;
    return 0;
}

static int pull(struct connection *connection)
{
    ssize_t count = recv(connection->socket, connection->head + connection->received, HEAD_SIZE - 1 - connection->received, 0);
    if (count <= 0)
        return count < 0 && errno == EAGAIN ? 1 : -1;
    connection->received += count;
    connection->head[connection->received] = 0;
    if (connection->received < 4 || memcmp(connection->head + connection->received - 4, "\r\n\r\n", 4) != 0)
        return connection->received < HEAD_SIZE - 1 ? 1 : -1;
    answer(connection);
    return push(connection);
}

static void watch(int poll, int operation, struct connection *connection, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(poll, operation, connection->socket, &event);
}

static void serve(int poll, struct connection *connection)
{
    int was_sending = connection->sending != NULL;
    int outcome = was_sending ? push(connection) : pull(connection);
    if (outcome < 0) {
        close(connection->socket);
        free(connection->owned);
        free(connection);
        return;
    }
    int is_sending = connection->sending != NULL;
    if (was_sending != is_sending)
        watch(poll, EPOLL_CTL_MOD, connection, is_sending ? EPOLLOUT : EPOLLIN);
}

static void welcome(int poll, int listener)
{
    int socket, yes = 1;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct connection *connection = calloc(1, sizeof *connection);
        connection->socket = socket;
        watch(poll, EPOLL_CTL_ADD, connection, EPOLLIN);
    }
}

static void *work(void *unused)
{
    (void)unused;
    int yes = 1, poll = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0) {
        perror("upstream");
        exit(1);
    }
    struct epoll_event first = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &first);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int each = 0; each < count; each++) {
            if (events[each].data.ptr == NULL)
                welcome(poll, listener);
            else
                serve(poll, events[each].data.ptr);
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: upstream PORT THREADS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    port = atoi(words[1]);
    char *zeros = calloc(1, LARGE_SIZE);
    small = response("text/plain", "Hello, world", 12, &small_size);
    large = response("application/octet-stream", zeros, LARGE_SIZE, &large_size);
    pthread_t thread;
    for (int left = atoi(words[2]); left > 1; left--)
        pthread_create(&thread, NULL, work, NULL);
    work(NULL);
}
