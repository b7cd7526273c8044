// EmbeddedTerminfo.swift: two terminfo entries of our own for xterm-like terminals, compiled.
// ncurses reads a compiled entry from the variable TERMINFO (`b64:`, ncurses 6.1). Ours omit what
// the system's xterm entries carry for historical reasons (character sets, title stacks, REP, which
// some terminals lack), so a change of colour costs 3 to 5 bytes less. The direct entry has palette
// and 24-bit colours side by side. Who uses them is in Capabilities+Environment.swift. Made from
// this source by
// `tic -x -o DIR FILE` and `TERMINFO=DIR infocmp -0 -x -Q2 -q NAME`:
//
//     hotpot+base|what every xterm-like terminal does,
//         am, bce, km, mir, msgr, xenl,
//         cols#80, it#8, lines#24,
//         bel=^G, bold=\E[1m, civis=\E[?25l, clear=\E[H\E[2J, cnorm=\E[?25h, cr=\r,
//         csr=\E[%i%p1%d;%p2%dr, cub=\E[%p1%dD, cub1=^H, cud=\E[%p1%dB, cud1=\n,
//         cuf=\E[%p1%dC, cuf1=\E[C, cup=\E[%i%p1%d;%p2%dH, cuu=\E[%p1%dA, cuu1=\E[A,
//         dch=\E[%p1%dP, dch1=\E[P, dim=\E[2m, dl=\E[%p1%dM, dl1=\E[M, ech=\E[%p1%dX,
//         ed=\E[J, el=\E[K, el1=\E[1K, home=\E[H, hpa=\E[%i%p1%dG, ich=\E[%p1%d@,
//         il=\E[%p1%dL, il1=\E[L, ind=\n, rev=\E[7m, ri=\EM, rmcup=\E[?1049l,
//         ritm=\E[23m, rmam=\E[?7l, rmul=\E[24m, sgr0=\E[m, smam=\E[?7h, sitm=\E[3m, smcup=\E[?1049h, smul=\E[4m,
//         vpa=\E[%i%p1%dd,
//     hotpot-256|xterm-like with 256 colours,
//         colors#0x100, pairs#0x10000, op=\E[39;49m,
//         setaf=\E[%?%p1%{8}%<%t3%p1%d%e%p1%{16}%<%t9%p1%{8}%-%d%e38;5;%p1%d%;m,
//         setab=\E[%?%p1%{8}%<%t4%p1%d%e%p1%{16}%<%t10%p1%{8}%-%d%e48;5;%p1%d%;m,
//         use=hotpot+base,
//     hotpot-direct|xterm-like with palette and direct colours,
//         RGB, colors#0x1000000, pairs#0x10000, op=\E[39;49m,
//         setaf=\E[%?%p1%{8}%<%t3%p1%d%e%p1%{16}%<%t9%p1%{8}%-%d%e%p1%{256}%<%t38;5;%p1%d%e38;2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d%;m,
//         setab=\E[%?%p1%{8}%<%t4%p1%d%e%p1%{16}%<%t10%p1%{8}%-%d%e%p1%{256}%<%t48;5;%p1%d%e48;2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d%;m,
//         use=hotpot+base,

package enum EmbeddedTerminfo {
  /// The entry `hotpot-256`.
  package static let indexed = """
    b64:HgInAB0ADwBpAaABaG90cG90LTI1Nnx4dGVybS1saWtlIHdpdGggMjU2IGNvbG91cnMAAAEAAAEAAAABAAAAAAEBAAAA\
    AAAAAAAAAAAAAAFQAAAACAAAABgAAAD_____________________________________________________AAEAAAAAAQD_\
    _wAAAgAEAP__FQAdACEAJQD__zAAQQBDAEcATgD__1AAVwD__1sA__9fAGMA__________9nAGwA__91AP_______3oA__9_\
    AIQA__-NAJEA________mgD_____________________oAD_________________________________________________\
    ______________________________________________________________________________________-kAK0AtgC_\
    AP__yADRANoA___jAP_______________________________-wA___3APkA____________________________________\
    __________________wAAgH_________________________________________________________________________\
    ________________________________________________________________________________________________\
    ________________________________________________________________________________________________\
    ____________________________________________CAH_________________________________________________\
    ______________________8NAf__________________________________FgH_______________________8bAf______\
    ____________________________________________________________________________________________IQFg\
    AQcADQAbWyVpJXAxJWQ7JXAyJWRyABtbSBtbMkoAG1tLABtbSgAbWyVpJXAxJWRHABtbJWklcDElZDslcDIlZEgACgAbW0gA\
    G1s_MjVsAAgAG1s_MjVoABtbQwAbW0EAG1tQABtbTQAbWzFtABtbPzEwNDloABtbMm0AG1s3bQAbWzRtABtbJXAxJWRYABtb\
    bQAbWz8xMDQ5bAAbWzI0bQAbW0wAG1slcDElZFAAG1slcDElZE0AG1slcDElZEIAG1slcDElZEAAG1slcDElZEwAG1slcDEl\
    ZEQAG1slcDElZEMAG1slcDElZEEAG1slaSVwMSVkZAAKABtNABtbPzdoABtbPzdsABtbMUsAG1szOTs0OW0AG1szbQAbWzIz\
    bQAbWyU_JXAxJXs4fSU8JXQzJXAxJWQlZSVwMSV7MTZ9JTwldDklcDElezh9JS0lZCVlMzg7NTslcDElZCU7bQAbWyU_JXAx\
    JXs4fSU8JXQ0JXAxJWQlZSVwMSV7MTZ9JTwldDEwJXAxJXs4fSUtJWQlZTQ4OzU7JXAxJWQlO20A
    """

  /// The entry `hotpot-direct`.
  package static let direct = """
    b64:HgI5AB0ADwBpAS4CaG90cG90LWRpcmVjdHx4dGVybS1saWtlIHdpdGggcGFsZXR0ZSBhbmQgZGlyZWN0IGNvbG91cnMA\
    AAEAAAEAAAABAAAAAAEBAAAAAAAAAAAAAAAAAAFQAAAACAAAABgAAAD_________________________________________\
    ____________AAAAAQAAAQD__wAAAgAEAP__FQAdACEAJQD__zAAQQBDAEcATgD__1AAVwD__1sA__9fAGMA__________9n\
    AGwA__91AP_______3oA__9_AIQA__-NAJEA________mgD_____________________oAD_________________________\
    ________________________________________________________________________________________________\
    ______________-kAK0AtgC_AP__yADRANoA___jAP_______________________________-wA___3APkA____________\
    __________________________________________wAAgH_________________________________________________\
    ________________________________________________________________________________________________\
    ________________________________________________________________________________________________\
    ____________________________________________________________________CAH_________________________\
    ______________________________________________8NAf__________________________________FgH_________\
    ______________8bAf______________________________________________________________________________\
    ____________________IQGnAQcADQAbWyVpJXAxJWQ7JXAyJWRyABtbSBtbMkoAG1tLABtbSgAbWyVpJXAxJWRHABtbJWkl\
    cDElZDslcDIlZEgACgAbW0gAG1s_MjVsAAgAG1s_MjVoABtbQwAbW0EAG1tQABtbTQAbWzFtABtbPzEwNDloABtbMm0AG1s3\
    bQAbWzRtABtbJXAxJWRYABtbbQAbWz8xMDQ5bAAbWzI0bQAbW0wAG1slcDElZFAAG1slcDElZE0AG1slcDElZEIAG1slcDEl\
    ZEAAG1slcDElZEwAG1slcDElZEQAG1slcDElZEMAG1slcDElZEEAG1slaSVwMSVkZAAKABtNABtbPzdoABtbPzdsABtbMUsA\
    G1szOTs0OW0AG1szbQAbWzIzbQAbWyU_JXAxJXs4fSU8JXQzJXAxJWQlZSVwMSV7MTZ9JTwldDklcDElezh9JS0lZCVlJXAx\
    JXsyNTZ9JTwldDM4OzU7JXAxJWQlZTM4OzI7JXAxJXs2NTUzNn0lLyVkOyVwMSV7MjU2fSUvJXsyNTV9JSYlZDslcDElezI1\
    NX0lJiVkJTttABtbJT8lcDElezh9JTwldDQlcDElZCVlJXAxJXsxNn0lPCV0MTAlcDElezh9JS0lZCVlJXAxJXsyNTZ9JTwl\
    dDQ4OzU7JXAxJWQlZTQ4OzI7JXAxJXs2NTUzNn0lLyVkOyVwMSV7MjU2fSUvJXsyNTV9JSYlZDslcDElezI1NX0lJiVkJTtt\
    AAEAAAAAAAEABAABAAAAUkdCAA==
    """
}
