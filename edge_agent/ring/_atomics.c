/* Aligned 64-bit words in shared memory with the memory order that each access needs.
 *
 * Python's own stores into a buffer are byte copies: nothing promises that they are one store, and on arm64 nothing
 * orders them. Everything here is one __atomic builtin on a naturally aligned word, which the compiler turns into
 * plain mov/xchg on x86-64 and ldar/stlr on arm64.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

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
