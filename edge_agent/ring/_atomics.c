/* Aligned 64-bit words in shared memory with the memory order that each access needs.
 *
 * Python's own stores into a buffer are byte copies: nothing promises that they are one store, and on arm64 nothing
 * orders them. Everything here is one __atomic builtin on a naturally aligned word, which the compiler turns into
 * plain mov/xchg on x86-64 and ldar/stlr on arm64.
 *
 * `append` and `record` are the two ends of a record's way through a ring (ring.py has the layout and the argument):
 * one call each, because a process that has just been woken runs cold, and every step of the interpreter then costs
 * several times what it costs in a loop.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define HEADER_BYTES 8 /* u32 length, u32 sequence */
#define PADDING UINT32_MAX

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    uint64_t *word;
    Py_ssize_t count;
} Words;

static int words_init(Words *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buffer", NULL};
    PyObject *buffer;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &buffer))
        return -1;
    if (self->word != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Words is already attached");
        return -1;
    }
    if (PyObject_GetBuffer(buffer, &self->view, PyBUF_WRITABLE) < 0)
        return -1;
    if (((uintptr_t)self->view.buf & 7u) != 0) {
        PyBuffer_Release(&self->view);
        PyErr_SetString(PyExc_ValueError, "the buffer is not aligned to 8 bytes");
        return -1;
    }
    self->word = (uint64_t *)self->view.buf;
    self->count = self->view.len / (Py_ssize_t)sizeof(uint64_t);
    return 0;
}

static PyObject *words_release(Words *self, PyObject *Py_UNUSED(ignored))
{
    if (self->word != NULL) {
        PyBuffer_Release(&self->view);
        self->word = NULL;
        self->count = 0;
    }
    Py_RETURN_NONE;
}

static void words_dealloc(Words *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->word != NULL)
        PyBuffer_Release(&self->view);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static uint64_t *words_at(Words *self, PyObject *index)
{
    Py_ssize_t i = PyLong_AsSsize_t(index);
    if (i == -1 && PyErr_Occurred())
        return NULL;
    if (i < 0 || i >= self->count) {
        PyErr_SetString(PyExc_IndexError, "word index out of range");
        return NULL;
    }
    return self->word + i;
}

static PyObject *words_load(Words *self, PyObject *index)
{
    uint64_t *word = words_at(self, index);
    if (word == NULL)
        return NULL;
    return PyLong_FromUnsignedLongLong(__atomic_load_n(word, __ATOMIC_SEQ_CST));
}

static PyObject *words_put(Words *self, PyObject *const *args, Py_ssize_t nargs, int order)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "expected (index, value)");
        return NULL;
    }
    uint64_t *word = words_at(self, args[0]);
    if (word == NULL)
        return NULL;
    unsigned long long value = PyLong_AsUnsignedLongLong(args[1]);
    if (value == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    if (order == __ATOMIC_RELEASE)
        __atomic_store_n(word, (uint64_t)value, __ATOMIC_RELEASE);
    else
        __atomic_store_n(word, (uint64_t)value, __ATOMIC_SEQ_CST);
    Py_RETURN_NONE;
}

static PyObject *words_store(Words *self, PyObject *const *args, Py_ssize_t nargs)
{
    return words_put(self, args, nargs, __ATOMIC_RELEASE);
}

static PyObject *words_publish(Words *self, PyObject *const *args, Py_ssize_t nargs)
{
    return words_put(self, args, nargs, __ATOMIC_SEQ_CST);
}

static int unsigned_of(PyObject *number, unsigned long long *value)
{
    *value = PyLong_AsUnsignedLongLong(number);
    return *value == (unsigned long long)-1 && PyErr_Occurred() ? -1 : 0;
}

/* Where a record's header stands; NULL (and an error) when it or `length` bytes behind it would leave the buffer. */
static char *words_record_at(Words *self, PyObject *at, Py_ssize_t length)
{
    Py_ssize_t byte = PyLong_AsSsize_t(at);
    if (byte == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t size = self->count * (Py_ssize_t)sizeof(uint64_t);
    if (byte < 0 || byte % 8 != 0 || byte > size - HEADER_BYTES || length > size - HEADER_BYTES - byte) {
        PyErr_SetString(PyExc_IndexError, "record out of range");
        return NULL;
    }
    return (char *)self->word + byte;
}

static PyObject *words_append(Words *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 7) {
        PyErr_SetString(PyExc_TypeError, "expected (at, sequence, payload, length, ledger, head, end)");
        return NULL;
    }
    unsigned long long sequence, length, end;
    uint64_t *ledger = words_at(self, args[4]);
    uint64_t *head = ledger == NULL ? NULL : words_at(self, args[5]);
    if (head == NULL || unsigned_of(args[1], &sequence) < 0 || unsigned_of(args[3], &length) < 0 ||
        unsigned_of(args[6], &end) < 0)
        return NULL;
    Py_buffer payload;
    if (PyObject_GetBuffer(args[2], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    char *record = NULL;
    if ((unsigned long long)payload.len != length) /* the caller made room for `length`, which is len(payload) */
        PyErr_SetString(PyExc_ValueError, "the payload's items are not bytes; cast the memoryview to 'B'");
    else
        record = words_record_at(self, args[0], payload.len);
    if (record == NULL) {
        PyBuffer_Release(&payload);
        return NULL;
    }
    uint32_t header[2] = {(uint32_t)payload.len, (uint32_t)sequence};
    memcpy(record, header, HEADER_BYTES);
    memcpy(record + HEADER_BYTES, payload.buf, (size_t)payload.len);
    PyBuffer_Release(&payload);
    __atomic_store_n(ledger, (uint64_t)sequence << 32 | (uint32_t)end, __ATOMIC_RELEASE);
    __atomic_store_n(head, (uint64_t)end, __ATOMIC_SEQ_CST);
    Py_RETURN_NONE;
}

static PyObject *words_record(Words *self, PyObject *at)
{
    const char *record = words_record_at(self, at, 0);
    if (record == NULL)
        return NULL;
    uint32_t length;
    memcpy(&length, record, sizeof length);
    if (length == PADDING)
        Py_RETURN_NONE;
    if (words_record_at(self, at, (Py_ssize_t)length) == NULL)
        return NULL;
    return PyBytes_FromStringAndSize(record + HEADER_BYTES, (Py_ssize_t)length);
}

static PyObject *words_fence(Words *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    Py_RETURN_NONE;
}

static PyMethodDef words_methods[] = {
    {"load", (PyCFunction)words_load, METH_O, "load(index) -> int. Sequentially consistent (so also acquire)."},
    {"store", (PyCFunction)(void (*)(void))words_store, METH_FASTCALL, "store(index, value). Release."},
    {"publish", (PyCFunction)(void (*)(void))words_publish, METH_FASTCALL,
     "publish(index, value). Sequentially consistent: a load that follows cannot pass it."},
    {"append", (PyCFunction)(void (*)(void))words_append, METH_FASTCALL,
     "append(at, sequence, payload, length, ledger, head, end). Header and payload at byte `at`, then (sequence, end) to the\n"
     "word `ledger` (release), then `end` to the word `head` (sequentially consistent): nobody looks before that."},
    {"record", (PyCFunction)words_record, METH_O, "record(at) -> the payload at byte `at`, or None where a lap ends."},
    {"fence", (PyCFunction)words_fence, METH_NOARGS, "fence(). Full barrier."},
    {"release", (PyCFunction)words_release, METH_NOARGS, "release(). Let go of the buffer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot words_slots[] = {
    {Py_tp_doc, "Words(buffer): the buffer as aligned 64-bit words with atomic access."},
    {Py_tp_init, words_init},
    {Py_tp_dealloc, words_dealloc},
    {Py_tp_methods, words_methods},
    {0, NULL},
};

static PyType_Spec words_spec = {
    .name = "edge_agent.ring._atomics.Words",
    .basicsize = sizeof(Words),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = words_slots,
};

static int atomics_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&words_spec);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Words", type);
    Py_DECREF(type);
    return failed;
}

static PyModuleDef_Slot atomics_slots[] = {{Py_mod_exec, atomics_exec}, {0, NULL}};

static struct PyModuleDef atomics_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_atomics",
    .m_doc = "Atomic 64-bit words in shared memory.",
    .m_slots = atomics_slots,
};

PyMODINIT_FUNC PyInit__atomics(void)
{
    return PyModuleDef_Init(&atomics_module);
}
