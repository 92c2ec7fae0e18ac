// Cells of up to 128 bits in machine integers, in place of CXXRTL's own, which compute 32 bits at a time.
//
// CXXRTL's names, in the namespace of the model: there they hide those of cxxrtl_yosys. What is wider falls through to it.
// In the names, ss: both operands are signed; uu: neither is.

#include <cxxrtl/cxxrtl.h>

#include <cstdint>
#include <type_traits>

namespace cxxrtl_design {

template <size_t Bits>
inline constexpr bool machine_bits = Bits <= 128;

template <size_t... Bits>
using Machine = std::conditional_t<((Bits <= 64) && ...), uint64_t, unsigned __int128>;

template <class Word, size_t Bits>
CXXRTL_ALWAYS_INLINE Word bits_of(const cxxrtl::value<Bits> &signal) {
    Word word = 0;
    for (size_t chunk = 0; chunk < cxxrtl::value<Bits>::chunks; ++chunk) word |= Word(signal.data[chunk]) << (32 * chunk);
    return word;
}

template <class Word, size_t Bits>
CXXRTL_ALWAYS_INLINE auto signed_of(const cxxrtl::value<Bits> &signal) {
    using Signed = std::conditional_t<sizeof(Word) == 8, int64_t, __int128>;
    constexpr size_t spare = sizeof(Word) * 8 - Bits;
    return Signed(bits_of<Word>(signal) << spare) >> spare;
}

template <size_t Bits, class Word>
CXXRTL_ALWAYS_INLINE cxxrtl::value<Bits> value_of(Word word) {
    cxxrtl::value<Bits> result;
    if (Bits < sizeof(Word) * 8) word &= (Word(1) << (Bits % (sizeof(Word) * 8))) - 1;
    for (size_t chunk = 0; chunk < cxxrtl::value<Bits>::chunks; ++chunk) result.data[chunk] = uint32_t(word >> (32 * chunk));
    return result;
}

// Sums and products need only the result's bits of what comes in, in whatever sign.
#define HWSIM_ARITHMETIC(name, operation)                                                                       \
    template <size_t Y, size_t A, size_t B>                                                                     \
    CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name##_ss(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) {     \
        if constexpr (machine_bits<Y> && machine_bits<A> && machine_bits<B>) {                                  \
            using Word = Machine<Y, A, B>;                                                                      \
            return value_of<Y, Word>(Word(signed_of<Word>(a)) operation Word(signed_of<Word>(b)));              \
        } else return cxxrtl_yosys::name##_ss<Y>(a, b);                                                         \
    }                                                                                                           \
    template <size_t Y, size_t A, size_t B>                                                                     \
    CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name##_uu(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) {     \
        if constexpr (machine_bits<Y> && machine_bits<A> && machine_bits<B>) {                                  \
            using Word = Machine<Y, A, B>;                                                                      \
            return value_of<Y, Word>(bits_of<Word>(a) operation bits_of<Word>(b));                              \
        } else return cxxrtl_yosys::name##_uu<Y>(a, b);                                                         \
    }
HWSIM_ARITHMETIC(add, +)
HWSIM_ARITHMETIC(sub, -)
HWSIM_ARITHMETIC(mul, *)
#undef HWSIM_ARITHMETIC

#define HWSIM_COMPARISON(name, operation)                                                                       \
    template <size_t Y, size_t A, size_t B>                                                                     \
    CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name##_ss(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) {     \
        if constexpr (machine_bits<A> && machine_bits<B>) {                                                     \
            using Word = Machine<A, B>;                                                                         \
            return cxxrtl::value<Y>{uint32_t(signed_of<Word>(a) operation signed_of<Word>(b))};                 \
        } else return cxxrtl_yosys::name##_ss<Y>(a, b);                                                         \
    }                                                                                                           \
    template <size_t Y, size_t A, size_t B>                                                                     \
    CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> name##_uu(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) {     \
        if constexpr (machine_bits<A> && machine_bits<B>) {                                                     \
            using Word = Machine<A, B>;                                                                         \
            return cxxrtl::value<Y>{uint32_t(bits_of<Word>(a) operation bits_of<Word>(b))};                     \
        } else return cxxrtl_yosys::name##_uu<Y>(a, b);                                                         \
    }
HWSIM_COMPARISON(eq, ==)
HWSIM_COMPARISON(ne, !=)
HWSIM_COMPARISON(lt, <)
HWSIM_COMPARISON(le, <=)
HWSIM_COMPARISON(gt, >)
HWSIM_COMPARISON(ge, >=)
#undef HWSIM_COMPARISON

// A shift to the right by an amount of up to 32 bits.
template <size_t Y, size_t A, size_t B>
CXXRTL_ALWAYS_INLINE cxxrtl::value<Y> sshr_su(const cxxrtl::value<A> &a, const cxxrtl::value<B> &b) {
    if constexpr (machine_bits<Y> && machine_bits<A> && B <= 32) {
        using Word = Machine<Y, A>;
        constexpr uint32_t most = sizeof(Word) * 8 - 1;
        return value_of<Y, Word>(Word(signed_of<Word>(a) >> (b.data[0] < most ? b.data[0] : most)));
    } else return cxxrtl_yosys::sshr_su<Y>(a, b);
}

}  // namespace cxxrtl_design
