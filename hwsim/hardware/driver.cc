// Runs jobs on a GemmCore that CXXRTL compiled: AXI4-Lite master, stream sources and sink, checks of the protocol.
//
// It follows the model's text in one translation unit, with HWSIM_OUTLIERS 1 where the core has that port.
//
// One evaluation is one clock cycle (hwsim.hardware.model sees to that): until commit(), a register still shows its value
// before the edge, and a combinational output what follows from it. So the ports are read between the two.

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>

extern "C" {

struct Stream {
    uint8_t *data;   // whole bytes per beat, beat after beat; of the results: where they go
    uint64_t beats;  // to move in this job
    uint64_t moved;  // written here
    uint64_t pause;  // chance of a pause in a cycle, in units of 2**-32
    uint64_t seed;   // of the pauses, not 0
    uint64_t places; // of the memory's FIFO; 0: no memory
    uint64_t cost;   // of a beat on the bus, in units
};

struct Access {
    uint32_t address, data;
};

struct Job {
    Stream weights, activations, outliers, results;
    const Access *writes;  // the last one starts the job
    uint64_t write_count;
    Access *reads;  // after the job; data is written here
    uint64_t read_count;
    uint32_t status, busy;  // the address of STATUS, its bit BUSY
    uint64_t pause, seed;   // of the AXI4-Lite port
    uint64_t latency;       // of the memory
    uint64_t read_units, write_units;  // its buses carry per cycle; no units for writes: they share the other bus
    uint64_t patience;      // cycles in which nothing moves after which the job is given up
    uint64_t cycles;        // simulated in all; written here
    char *message;          // why the job failed; written here
    uint64_t message_bytes;
};
}

namespace {

using Model = cxxrtl_design::p_gemm__core;

template <size_t Bits>
constexpr size_t bytes_of(const cxxrtl::value<Bits> &) { return Bits / 8; }
template <size_t Bits>
constexpr size_t bytes_of(const cxxrtl::wire<Bits> &) { return Bits / 8; }
template <size_t Bits>
const uint32_t *words(const cxxrtl::value<Bits> &signal) { return signal.data; }
template <size_t Bits>
const uint32_t *words(const cxxrtl::wire<Bits> &signal) { return signal.curr.data; }

template <class Signal>
uint32_t get(const Signal &signal) { return words(signal)[0]; }
template <size_t Bits>
void set(cxxrtl::value<Bits> &signal, uint32_t data) { signal.data[0] = data; }

// Random pauses (xorshift64): one draw in each cycle in which a port could act.
struct Pauses {
    uint64_t chance, state;

    bool now() {
        if (!chance) return false;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (state >> 32) < chance;
    }
};

std::string hex(uint32_t value) {
    static const char digits[] = "0123456789ABCDEF";
    return std::string("0x") + digits[value >> 4 & 15] + digits[value & 15];
}

std::string port(const char *name, uint32_t valid, uint32_t ready) {
    return std::string("; ") + name + " valid=" + char('0' + valid) + " ready=" + char('0' + ready);
}

std::string progress(const Stream &stream) {
    return ", " + std::to_string(stream.moved) + " of " + std::to_string(stream.beats) + " beats";
}

// Beats one behind the other. The debt: units that have not crossed before this cycle.
struct Bus {
    uint64_t units, debt = 0;

    // Returns how many cycles from now the last byte of a beat crosses.
    uint64_t give(uint64_t cost) { return ((debt += cost) - 1) / units; }
    void elapse() { debt -= std::min(debt, units); }
};

// The memory in front of the ports (docs/rtl-core.md). It stands in cycle 0 until the job is there too.
struct Memory {
    uint64_t latency;
    Bus reads, writes;
    bool apart;
    uint64_t cycle = 0;
    bool began = false, asked = false;

    Bus &results() { return apart ? writes : reads; }
    void elapse() {
        if (!began) return;
        reads.elapse();
        writes.elapse();
        ++cycle;
        asked = false;
    }
};

template <class Data, class Valid, class Ready>
struct Source {
    Data &data;
    Valid &valid;
    const Ready &ready;
    Stream &stream;
    Memory &memory;
    Pauses pauses{stream.pause, stream.seed};
    bool offered = false, hidden = false;
    std::deque<uint64_t> arrivals{};  // cycles of the memory

    void request() {
        if (arrivals.size() < stream.places && stream.moved + arrivals.size() < stream.beats)
            arrivals.push_back(memory.cycle + memory.reads.give(stream.cost) + memory.latency);
    }

    bool available() {
        if (!stream.places) return stream.moved < stream.beats && !pauses.now();
        return !arrivals.empty() && arrivals.front() <= memory.cycle;
    }

    void drive() {
        if (offered) return;  // Data and valid stay until they are taken.
        const size_t bytes = bytes_of(data);
        if (available()) {
            memcpy(data.data, stream.data + stream.moved * bytes, bytes);
            set(valid, 1);
            offered = true;
            hidden = false;
        } else if (!hidden) {
            // A core that takes data without valid must not find what it expects.
            memset(data.data, 0xA5, bytes);
            set(valid, 0);
            hidden = true;
        }
    }

    bool sample() {
        if (!offered || !get(ready)) return false;
        offered = false;
        ++stream.moved;
        if (stream.places) arrivals.pop_front();
        return true;
    }
};

template <class Data, class Last, class Valid>
struct Sink {
    const Data &data;
    const Last &last;
    const Valid &valid;
    cxxrtl::value<1> &ready;
    Stream &stream;
    std::string &failure;
    Memory &memory;
    Pauses pauses{stream.pause, stream.seed};
    std::deque<uint64_t> crossing{};  // cycles of the memory
    uint8_t held[sizeof(Data)] = {};
    uint32_t held_last = 0;
    bool waiting = false;

    bool room() {
        while (!crossing.empty() && crossing.front() < memory.cycle) crossing.pop_front();
        return crossing.size() < stream.places;
    }

    void drive() { set(ready, stream.places ? room() : !pauses.now()); }

    bool sample() {
        const size_t bytes = bytes_of(data);
        if (waiting && !get(valid)) failure = "results: tvalid fell before the beat was taken";
        if (waiting && (memcmp(held, words(data), bytes) || held_last != get(last)))
            failure = "results: tdata or tlast changed before the beat was taken";
        waiting = get(valid) && !get(ready);
        if (waiting) {
            memcpy(held, words(data), bytes);
            held_last = get(last);
        }
        if (waiting || !get(valid)) return false;
        if (stream.moved == stream.beats) {
            failure = "results: a beat more than the expected " + std::to_string(stream.beats);
            return false;
        }
        memcpy(stream.data + stream.moved * bytes, words(data), bytes);
        ++stream.moved;
        if (stream.places) crossing.push_back(memory.cycle + memory.results().give(stream.cost));
        if (bool(get(last)) != (stream.moved == stream.beats))
            failure = std::string("results: tlast is ") + (get(last) ? "1" : "0") + " in beat " +
                      std::to_string(stream.moved) + " of " + std::to_string(stream.beats);
        return true;
    }
};

// AXI4-Lite master, one access at a time; the address and the data of a write are offered independently.
struct Master {
    Model &model;
    std::string &failure;
    Pauses pauses;
    enum { IDLE, WRITE, READ } access = IDLE;
    bool address_due = false, address_offered = false;
    bool data_due = false, data_offered = false;
    bool waiting = false;
    uint32_t address = 0, data = 0, code = 0;

    void start(decltype(IDLE) kind, const Access &what) {
        access = kind;
        address = what.address;
        data = what.data;
        address_due = true;
        data_due = kind == WRITE;
    }

    void drive() {
        const bool writes = access == WRITE, reads = access == READ;
        address_offered = address_offered || (address_due && !pauses.now());
        data_offered = data_offered || (data_due && !pauses.now());
        const bool accept = access != IDLE && !pauses.now();
        set(model.p_s__axil__awaddr, address);
        set(model.p_s__axil__awvalid, writes && address_offered);
        set(model.p_s__axil__wdata, data);
        set(model.p_s__axil__wstrb, 15);
        set(model.p_s__axil__wvalid, data_offered);
        set(model.p_s__axil__bready, writes && accept);
        set(model.p_s__axil__araddr, address);
        set(model.p_s__axil__arvalid, reads && address_offered);
        set(model.p_s__axil__rready, reads && accept);
    }

    // Returns whether an access was completed.
    bool sample() {
        if (address_offered && get(access == WRITE ? model.p_s__axil__awready : model.p_s__axil__arready))
            address_due = address_offered = false;
        if (data_offered && get(model.p_s__axil__wready)) data_due = data_offered = false;
        const uint32_t written = get(model.p_s__axil__bvalid), read = get(model.p_s__axil__rvalid);
        if (written | read) return respond(written, read);
        if (waiting) failure = "registers: valid fell before the response was taken";
        return false;
    }

    bool respond(uint32_t written, uint32_t read) {
        if ((written && access != WRITE) || (read && access != READ) || address_due || data_due) {
            failure = "registers: a response that nothing asked for";
            return false;
        }
        const uint32_t answer = read ? get(model.p_s__axil__rdata) : data;
        const uint32_t status = get(read ? model.p_s__axil__rresp : model.p_s__axil__bresp);
        if (waiting && (answer != data || status != code)) failure = "registers: a response changed before it was taken";
        data = answer;
        code = status;
        waiting = !get(read ? model.p_s__axil__rready : model.p_s__axil__bready);
        if (waiting) return false;
        if (code) failure = std::string("registers: the core refused a ") + (read ? "read of " : "write to ") + hex(address);
        access = IDLE;
        return true;
    }
};

template <class Data, class Valid, class Ready>
Source<Data, Valid, Ready> source(Data &data, Valid &valid, const Ready &ready, Stream &stream, Memory &memory) {
    return {data, valid, ready, stream, memory};
}
template <class Data, class Last, class Valid>
Sink<Data, Last, Valid> sink(const Data &data, const Last &last, const Valid &valid, cxxrtl::value<1> &ready, Stream &stream,
                             std::string &failure, Memory &memory) {
    return {data, last, valid, ready, stream, failure, memory};
}

// The accesses of a job, in order: writes, polls of STATUS until it is not busy, reads.
struct Script {
    Job &job;
    Master &master;
    uint64_t written = 0, read = 0;
    bool over = false;  // The core said so.

    bool done() const { return over && read == job.read_count; }

    void next() {
        if (written < job.write_count) master.start(Master::WRITE, job.writes[written]);
        else if (!over) master.start(Master::READ, {job.status, 0});
        else master.start(Master::READ, job.reads[read]);
    }

    // Takes the answer; returns whether that counts as progress.
    bool took() {
        if (written < job.write_count) return ++written;
        if (over) job.reads[read++].data = master.data;
        else over = !(master.data & job.busy);
        return over;
    }
};

void run(Model &model, Job &job, std::string &failure) {
    Memory memory{job.latency, {job.read_units}, {job.write_units}, job.write_units > 0};
    auto weights = source(model.p_s__axis__weights__tdata, model.p_s__axis__weights__tvalid,
                          model.p_s__axis__weights__tready, job.weights, memory);
    auto activations = source(model.p_s__axis__activations__tdata, model.p_s__axis__activations__tvalid,
                              model.p_s__axis__activations__tready, job.activations, memory);
#if HWSIM_OUTLIERS
    auto outliers = source(model.p_s__axis__outliers__tdata, model.p_s__axis__outliers__tvalid,
                           model.p_s__axis__outliers__tready, job.outliers, memory);
#endif
    auto results = sink(model.p_m__axis__results__tdata, model.p_m__axis__results__tlast,
                        model.p_m__axis__results__tvalid, model.p_m__axis__results__tready, job.results, failure,
                        memory);
    Master master{model, failure, {job.pause, job.seed}};
    Script script{job, master};
    uint64_t idle = 0;
    while (failure.empty() && !script.done()) {
        if (master.access == Master::IDLE) script.next();
        if (!memory.asked) {
            memory.asked = true;
            weights.request();
#if HWSIM_OUTLIERS
            outliers.request();
#endif
            activations.request();
        }
        weights.drive();
        activations.drive();
#if HWSIM_OUTLIERS
        outliers.drive();
#endif
        results.drive();
        master.drive();
        model.Model::eval();
        // The first cycle in which the core takes activations is the job's first.
        memory.began |= bool(get(activations.ready));
        bool moved = weights.sample();
        moved |= activations.sample();
#if HWSIM_OUTLIERS
        moved |= outliers.sample();
#endif
        moved |= results.sample();
        if (master.sample()) moved |= script.took();
        idle = moved ? 0 : idle + 1;
        if (idle > job.patience) failure = "nothing moved for " + std::to_string(job.patience) + " cycles";
        if (script.over && failure.empty() &&
            (job.weights.moved < job.weights.beats || job.activations.moved < job.activations.beats ||
             job.outliers.moved < job.outliers.beats || job.results.moved < job.results.beats))
            failure = "the job ended before all beats had moved";
        if (!failure.empty()) {
            failure += "; cycle " + std::to_string(job.cycles);
            failure += port("weights", get(weights.valid), get(weights.ready)) + progress(job.weights);
            failure += port("activations", get(activations.valid), get(activations.ready)) + progress(job.activations);
#if HWSIM_OUTLIERS
            failure += port("outliers", get(outliers.valid), get(outliers.ready)) + progress(job.outliers);
#endif
            failure += port("results", get(results.valid), get(results.ready)) + progress(job.results);
            failure += port("aw", get(model.p_s__axil__awvalid), get(model.p_s__axil__awready));
            failure += port("w", get(model.p_s__axil__wvalid), get(model.p_s__axil__wready));
            failure += port("b", get(model.p_s__axil__bvalid), get(model.p_s__axil__bready));
            failure += port("ar", get(model.p_s__axil__arvalid), get(model.p_s__axil__arready));
            failure += port("r", get(model.p_s__axil__rvalid), get(model.p_s__axil__rready));
            failure += "; register " + hex(master.address);
        }
        model.commit();
        memory.elapse();
        ++job.cycles;
    }
}

}  // namespace

extern "C" {

void *hwsim_new() { return new Model; }

void hwsim_delete(void *model) { delete static_cast<Model *>(model); }

// Returns 0, or 1 with a message where the job failed; the model is of no use then.
int hwsim_run(void *handle, Job *job) {
    std::string failure;
    for (Stream *stream : {&job->weights, &job->activations, &job->outliers, &job->results}) stream->moved = 0;
    job->cycles = 0;
    run(*static_cast<Model *>(handle), *job, failure);
    if (failure.empty()) return 0;
    const size_t length = std::min<size_t>(failure.size(), job->message_bytes - 1);
    memcpy(job->message, failure.data(), length);
    job->message[length] = 0;
    return 1;
}
}
